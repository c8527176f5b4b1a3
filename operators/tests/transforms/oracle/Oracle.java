// Runs Kafka Connect's own transformations on the inputs of the case files beside it and writes what
// comes out into them as `expected`. scripts/connect-oracle compiles and starts it; Connect's jars
// are found there and are no part of this repository.
//
// A case names its chain of transformations as Connect's configuration would, with a JSON text as
// the record's value. The value goes through Connect's JsonConverter without schemas, both ways.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.storage.Converter;
import org.apache.kafka.connect.storage.SimpleHeaderConverter;
import org.apache.kafka.connect.storage.StringConverter;
import org.apache.kafka.connect.transforms.Transformation;

public final class Oracle {
    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final JsonConverter JSON = new JsonConverter();
    private static final StringConverter STRING = new StringConverter();
    private static final SimpleHeaderConverter HEADER = new SimpleHeaderConverter();

    public static void main(String[] files) throws Exception {
        JSON.configure(Map.of("schemas.enable", "false"), false);
        STRING.configure(Map.of(), true);
        MAPPER.enable(SerializationFeature.INDENT_OUTPUT);
        for (String name : files) {
            File file = new File(name);
            ArrayNode cases = (ArrayNode) MAPPER.readTree(file);
            for (JsonNode each : cases) {
                ((ObjectNode) each).set("expected", expected(each));
            }
            MAPPER.writeValue(file, cases);
            System.out.println(file.getName() + ": " + cases.size() + " cases");
        }
    }

    private static ObjectNode expected(JsonNode each) {
        ObjectNode expected = MAPPER.createObjectNode();
        SourceRecord record;
        try {
            record = apply(each);
        } catch (Exception error) {
            return expected.put("refused", true);
        }
        if (record == null) {
            return expected.put("dropped", true);
        }
        expected.put("value", text(JSON.fromConnectData("t", record.valueSchema(), record.value())));
        if (record.key() != null) {
            expected.put("key_json", text(JSON.fromConnectData("t", record.keySchema(), record.key())));
            expected.put("key_text", text(STRING.fromConnectData("t", record.keySchema(), record.key())));
        }
        if (!record.headers().isEmpty()) {
            ArrayNode headers = expected.putArray("headers");
            for (Header header : record.headers()) {
                byte[] value = HEADER.fromConnectHeader("t", header.key(), header.schema(), header.value());
                headers.addArray().add(header.key()).add(text(value));
            }
        }
        if (each.has("topic")) {
            expected.put("topic", record.topic());
        }
        return expected;
    }

    @SuppressWarnings("unchecked")
    private static SourceRecord apply(JsonNode each) throws Exception {
        String topic = each.path("topic").asText("t");
        Object value = null;
        if (each.hasNonNull("input")) {
            byte[] input = each.get("input").asText().getBytes(StandardCharsets.UTF_8);
            value = JSON.toConnectData(topic, input).value();
        }
        long timestamp = each.path("timestamp").asLong(1_700_000_000_123L);
        SourceRecord record =
            new SourceRecord(Map.of(), Map.of(), topic, null, null, null, null, value, timestamp);
        for (JsonNode step : each.get("chain")) {
            String name = "org.apache.kafka.connect.transforms." + step.get("type").asText();
            Map<String, Object> config = new HashMap<>();
            step.fields().forEachRemaining(entry -> {
                if (!entry.getKey().equals("type")) {
                    config.put(entry.getKey(), entry.getValue().asText());
                }
            });
            try (Transformation<SourceRecord> transformation = (Transformation<SourceRecord>)
                    Class.forName(name).getDeclaredConstructor().newInstance()) {
                transformation.configure(config);
                record = transformation.apply(record);
            }
            if (record == null) {
                return null;
            }
        }
        return record;
    }

    private static String text(byte[] bytes) {
        return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
    }
}
