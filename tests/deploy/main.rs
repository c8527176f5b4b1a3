//! What lies in `deploy/`, and what the documentation says of metrics, held against the program.
//!
//! Goal: who takes a dashboard, an alert rule, a chart or a unit from here gets one that works.
//! Method: the real binary runs between a scripted server and the embedded broker; a real
//! Prometheus scrapes it; what Kubernetes, systemd and Helm would judge is judged by them or by
//! their schemas. `scripts/tools` brings these tools. With `HEADWATER_DEPLOY=real`, which
//! `scripts/test` sets, a tool that is missing is a failure; without it the tests that need one say
//! aloud that they were skipped.
//!
//! | file | goal |
//! |---|---|
//! | `metrics` | `docs/METRICS.md` lists what a running program serves, and nothing else |
//! | `otlp` | a collector gets what Prometheus would, and a trace of each call, start and epoch |
//! | `logs` | the Java connector's lines that are the same have its names |
//! | `alerts` | each rule fires when it should and not before, and names a section of the runbook |
//! | `dashboard` | each query of the dashboard finds something |
//! | `manual` | completions and man pages know every command |
//! | `unit` | systemd takes the unit, and finds it well shut in |
//! | `chart` | the Helm chart gives what Kubernetes takes |
//! | `image` | the content of the image is all that the program needs |
//!
//! | file | what it is |
//! |---|---|
//! | `world` | a running program, and a Prometheus that scrapes it |
//! | `collector` | an OpenTelemetry collector that keeps what it gets |
//! | `tools` | programs of others |

mod alerts;
mod chart;
mod collector;
mod dashboard;
mod image;
mod logs;
mod manual;
mod metrics;
mod otlp;
mod tools;
mod unit;
mod world;
