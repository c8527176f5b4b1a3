{{- define "headwater.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "headwater.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "headwater.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "headwater.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "headwater.selector" -}}
app.kubernetes.io/name: {{ include "headwater.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "headwater.labels" -}}
{{ include "headwater.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "headwater.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "headwater.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "headwater.configMap" -}}
{{- default (include "headwater.fullname" .) .Values.existingConfigMap -}}
{{- end -}}

{{- define "headwater.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- /* The files to run, in an order that does not change from rendering to rendering. */ -}}
{{- define "headwater.pipelineFiles" -}}
{{- if .Values.existingConfigMap -}}
{{- if not .Values.existingPipelines -}}
{{- fail "existingConfigMap needs existingPipelines: which of its keys are to be run" -}}
{{- end -}}
{{- range .Values.existingPipelines }}
- {{ printf "/etc/headwater/pipelines/%s" . | quote }}
{{- end -}}
{{- else -}}
{{- if not .Values.pipelines -}}
{{- fail "there is nothing to run: set pipelines, or existingConfigMap and existingPipelines" -}}
{{- end -}}
{{- range $name := keys .Values.pipelines | sortAlpha }}
- {{ printf "/etc/headwater/pipelines/%s.yaml" $name | quote }}
{{- end -}}
{{- end -}}
{{- end -}}
