package walgate;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.connect.cli.ConnectStandalone;

/**
 * Debezium as a source of Kafka Connect, in a standalone worker: one connector for each slot, into topics of its own.
 *
 * Arguments: server as a URL, publication, bootstrap servers. Prints "ready" and reads a line "SLOT CHANGES"; then
 * prints "first" when Kafka has the first change and "done CHANGES 0" when it has the last one, and ends with its input.
 * With 0 changes it follows the slot, without a word, until the next line.
 */
public final class Connect {
    private static final int PARTITIONS = 4;
    private static final HttpClient HTTP = HttpClient.newHttpClient();

    private Connect() {
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = System.out;
        // What the worker logs is none of ours.
        System.setOut(System.err);
        try {
            follow(arguments, in, out);
        } catch (Exception error) {
            // The worker's threads would go on for ever.
            out.println("failed: " + error);
            System.exit(1);
        }
    }

    private static void follow(String[] arguments, BufferedReader in, PrintStream out) throws Exception {
        URI worker = start(arguments[2]);
        Properties admin = new Properties();
        admin.setProperty("bootstrap.servers", arguments[2]);
        try (Admin kafka = Admin.create(admin)) {
            while (true) {
                out.println("ready");
                String line = in.readLine();
                if (line == null) {
                    System.exit(0);
                }
                String[] words = line.split(" ");
                long changes = Long.parseLong(words[1]);
                URI connector = worker.resolve("/connectors/" + words[0]);
                send(HttpRequest.newBuilder(connector.resolve(words[0] + "/config"))
                        .header("Content-Type", "application/json")
                        .PUT(HttpRequest.BodyPublishers.ofString(
                                config(URI.create(arguments[0]), arguments[1], words[0], changes == 0))));
                if (changes == 0) {
                    in.readLine();
                } else {
                    wait(kafka, words[0] + ".public.work", changes, out);
                }
                send(HttpRequest.newBuilder(connector).DELETE());
            }
        }
    }

    /** Waits until a topic has so many changes, and tells of the first and the last. */
    private static void wait(Admin kafka, String topic, long changes, PrintStream out) throws InterruptedException {
        boolean begun = false;
        long count = 0;
        while (count < changes) {
            Thread.sleep(20);
            count = count(kafka, topic);
            if (count > 0 && !begun) {
                out.println("first");
                begun = true;
            }
        }
        out.println("done " + count + " 0");
    }

    /** Starts a worker, and waits until it answers. */
    private static URI start(String bootstrap) throws Exception {
        int port;
        try (ServerSocket free = new ServerSocket(0)) {
            port = free.getLocalPort();
        }
        Path folder = Files.createTempDirectory("walgate-connect");
        Path config = folder.resolve("worker.properties");
        Properties worker = new Properties();
        worker.setProperty("bootstrap.servers", bootstrap);
        worker.setProperty("listeners", "http://127.0.0.1:" + port);
        worker.setProperty("key.converter", "org.apache.kafka.connect.json.JsonConverter");
        worker.setProperty("value.converter", "org.apache.kafka.connect.json.JsonConverter");
        worker.setProperty("key.converter.schemas.enable", "false");
        worker.setProperty("value.converter.schemas.enable", "false");
        worker.setProperty("offset.storage.file.filename", folder.resolve("offsets").toString());
        worker.setProperty("offset.flush.interval.ms", "1000");
        // As Walgate's sink has it.
        worker.setProperty("producer.acks", "all");
        worker.setProperty("producer.enable.idempotence", "true");
        try (var file = Files.newBufferedWriter(config)) {
            worker.store(file, null);
        }
        new Thread(() -> ConnectStandalone.main(new String[] {config.toString()})).start();
        URI address = URI.create("http://127.0.0.1:" + port);
        HttpRequest ask = HttpRequest.newBuilder(address.resolve("/connectors")).build();
        // It answers 404 before it has come so far.
        while (status(ask) != 200) {
            Thread.sleep(50);
        }
        return address;
    }

    /** The status of an answer; 0 when there is none. */
    private static int status(HttpRequest request) throws InterruptedException {
        try {
            return HTTP.send(request, HttpResponse.BodyHandlers.discarding()).statusCode();
        } catch (java.io.IOException notYet) {
            return 0;
        }
    }

    private static void send(HttpRequest.Builder request) throws Exception {
        HttpResponse<String> answer = HTTP.send(request.build(), HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() >= 300) {
            throw new IllegalStateException(answer.statusCode() + ": " + answer.body());
        }
    }

    /** Records of a topic; 0 before it is there. */
    private static long count(Admin kafka, String topic) throws InterruptedException {
        Map<TopicPartition, OffsetSpec> latest = new HashMap<>();
        for (int partition = 0; partition < PARTITIONS; partition++) {
            latest.put(new TopicPartition(topic, partition), OffsetSpec.latest());
        }
        try {
            return kafka.listOffsets(latest).all().get().values().stream()
                    .mapToLong(ListOffsetsResultInfo::offset).sum();
        } catch (ExecutionException notYet) {
            return 0;
        }
    }

    /** A connector that drains a slot, or waits at the head of the log for each change. */
    private static String config(URI server, String publication, String slot, boolean follows) {
        Properties properties = Drain.properties(server, publication, slot);
        properties.setProperty("topic.prefix", slot);
        if (follows) {
            properties.setProperty("poll.interval.ms", "5");
        }
        properties.setProperty("topic.creation.default.partitions", Integer.toString(PARTITIONS));
        properties.setProperty("topic.creation.default.replication.factor", "1");
        // Those are the worker's.
        for (String name : new String[] {"offset.storage", "offset.flush.interval.ms",
                "key.converter.schemas.enable", "value.converter.schemas.enable"}) {
            properties.remove(name);
        }
        StringBuilder json = new StringBuilder("{");
        for (String name : properties.stringPropertyNames()) {
            json.append(json.length() > 1 ? "," : "")
                    .append('"').append(name).append("\":\"").append(properties.getProperty(name)).append('"');
        }
        return json.append('}').toString();
    }
}
