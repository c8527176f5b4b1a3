import com.google.protobuf.DescriptorProtos.FileDescriptorProto;
import com.google.protobuf.DescriptorProtos.FileDescriptorSet;
import com.google.protobuf.Descriptors.FileDescriptor;
import com.google.protobuf.Descriptors.MethodDescriptor;
import com.google.protobuf.Descriptors.ServiceDescriptor;
import com.google.protobuf.DynamicMessage;
import com.google.protobuf.util.JsonFormat;
import io.conduktor.connect.grpc.GrpcSourceTask;
import io.grpc.Server;
import io.grpc.ServerServiceDefinition;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.metrics.PluginMetrics;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.source.SourceTaskContext;
import org.apache.kafka.connect.storage.Converter;
import org.apache.kafka.connect.storage.OffsetStorageReader;
import org.apache.kafka.connect.storage.StringConverter;

/**
 * Streams messages to the connector's own task and writes down what its converter makes of them.
 *
 * <p>Arguments: a descriptor set with the service `recorded.Recorded`, a method of it, a file with
 * one message in hexadecimal digits a line, the converter (string, json, json-schemas), and the file
 * to write: a line with the message, a line with the record's value, and so on.
 */
public class Record {
  static final String SERVICE = "recorded.Recorded";
  static final long QUIET_MS = 2000;

  static final io.grpc.MethodDescriptor.Marshaller<byte[]> BYTES =
      new io.grpc.MethodDescriptor.Marshaller<>() {
        public InputStream stream(byte[] bytes) {
          return new ByteArrayInputStream(bytes);
        }

        public byte[] parse(InputStream in) {
          try {
            return in.readAllBytes();
          } catch (IOException e) {
            throw new RuntimeException(e);
          }
        }
      };

  public static void main(String[] arguments) throws Exception {
    if (Runtime.version().feature() < 19) {
      throw new AssertionError("Java 19 or newer is needed: older ones print digits too many");
    }
    String descriptors = arguments[0];
    String method = arguments[1];
    MethodDescriptor known = find(descriptors, method);
    List<byte[]> messages = new ArrayList<>();
    int left = 0;
    for (String line : Files.readAllLines(Path.of(arguments[2]))) {
      byte[] message = HexFormat.of().parseHex(line.trim());
      if (isFit(known, message)) {
        messages.add(message);
      } else {
        left++;
      }
    }
    Server server = serve(method, messages);
    List<SourceRecord> records = run(descriptors, method, server.getPort(), messages.size());
    server.shutdownNow();
    if (records.size() != messages.size()) {
      throw new AssertionError(records.size() + " records of " + messages.size() + " messages");
    }
    write(arguments[3], arguments[4], messages, records);
    System.out.println(method + ": " + records.size() + " recorded, " + left + " left out");
    System.exit(0);
  }

  static MethodDescriptor find(String path, String method) throws Exception {
    FileDescriptorSet set = FileDescriptorSet.parseFrom(Files.readAllBytes(Path.of(path)));
    Map<String, FileDescriptor> files = new HashMap<>();
    for (FileDescriptorProto file : set.getFileList()) {
      FileDescriptor[] needed =
          file.getDependencyList().stream().map(files::get).toArray(FileDescriptor[]::new);
      files.put(file.getName(), FileDescriptor.buildFrom(file, needed));
    }
    for (FileDescriptor file : files.values()) {
      for (ServiceDescriptor service : file.getServices()) {
        if (service.getFullName().equals(SERVICE)) {
          return service.findMethodByName(method);
        }
      }
    }
    throw new AssertionError("no " + SERVICE);
  }

  /** Whether the connector can write the message, and what it writes is JSON with each key once. */
  static boolean isFit(MethodDescriptor method, byte[] bytes) {
    try {
      DynamicMessage message = DynamicMessage.parseFrom(method.getOutputType(), bytes);
      String json =
          JsonFormat.printer()
              .includingDefaultValueFields()
              .omittingInsignificantWhitespace()
              .print(message);
      com.fasterxml.jackson.databind.ObjectMapper mapper =
          new com.fasterxml.jackson.databind.ObjectMapper();
      mapper.enable(com.fasterxml.jackson.core.JsonParser.Feature.STRICT_DUPLICATE_DETECTION);
      mapper.readTree(json);
      return true;
    } catch (Exception e) {
      return false;
    }
  }

  static Server serve(String method, List<byte[]> messages) throws IOException {
    io.grpc.MethodDescriptor<byte[], byte[]> descriptor =
        io.grpc.MethodDescriptor.<byte[], byte[]>newBuilder()
            .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
            .setFullMethodName(SERVICE + "/" + method)
            .setRequestMarshaller(BYTES)
            .setResponseMarshaller(BYTES)
            .build();
    ServerServiceDefinition service =
        ServerServiceDefinition.builder(SERVICE)
            .addMethod(
                descriptor,
                ServerCalls.asyncServerStreamingCall(
                    (byte[] request, StreamObserver<byte[]> answers) ->
                        new Thread(() -> messages.forEach(answers::onNext)).start()))
            .build();
    return NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", 0))
        .addService(service)
        .build()
        .start();
  }

  static List<SourceRecord> run(String descriptors, String method, int port, int count)
      throws Exception {
    Map<String, String> config = new HashMap<>();
    config.put("name", "record");
    config.put("grpc.server.host", "127.0.0.1");
    config.put("grpc.server.port", Integer.toString(port));
    config.put("grpc.service.name", SERVICE);
    config.put("grpc.method.name", method);
    config.put("grpc.proto.descriptor", descriptors);
    config.put("grpc.message.queue.size", "1000000");
    config.put("kafka.topic", "recorded");
    GrpcSourceTask task = new GrpcSourceTask();
    task.initialize(new Context(config));
    task.start(config);
    List<SourceRecord> records = new ArrayList<>();
    long last = System.currentTimeMillis();
    while (records.size() < count && System.currentTimeMillis() - last < QUIET_MS) {
      List<SourceRecord> polled = task.poll();
      if (polled == null) {
        Thread.sleep(10);
        continue;
      }
      last = System.currentTimeMillis();
      records.addAll(polled);
    }
    return records;
  }

  static void write(
      String converter, String path, List<byte[]> messages, List<SourceRecord> records)
      throws IOException {
    Converter chosen = converter.equals("string") ? new StringConverter() : new JsonConverter();
    String schemas = Boolean.toString(converter.equals("json-schemas"));
    chosen.configure(Map.of("schemas.enable", schemas, "converter.type", "value"), false);
    try (PrintStream out = new PrintStream(path, StandardCharsets.UTF_8)) {
      for (int at = 0; at < records.size(); at++) {
        SourceRecord record = records.get(at);
        if (record.key() != null || record.kafkaPartition() != null) {
          throw new AssertionError("a key or a partition");
        }
        out.print(HexFormat.of().formatHex(messages.get(at)));
        out.print('\n');
        out.write(chosen.fromConnectData("recorded", record.valueSchema(), record.value()));
        out.print('\n');
      }
    }
  }

  /** A worker without offsets. */
  static class Context implements SourceTaskContext {
    private final Map<String, String> config;

    Context(Map<String, String> config) {
      this.config = config;
    }

    public Map<String, String> configs() {
      return config;
    }

    public PluginMetrics pluginMetrics() {
      return null;
    }

    public OffsetStorageReader offsetStorageReader() {
      return new OffsetStorageReader() {
        public <T> Map<String, Object> offset(Map<String, T> partition) {
          return null;
        }

        public <T> Map<Map<String, T>, Map<String, Object>> offsets(
            Collection<Map<String, T>> partitions) {
          return Map.of();
        }
      };
    }
  }
}
