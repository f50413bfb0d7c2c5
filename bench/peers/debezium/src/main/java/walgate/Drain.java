package walgate;

import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.Json;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Debezium's embedded engine on one slot after the other: JSON without schemas, which is counted and thrown away.
 *
 * <p>Arguments: server as a URL, publication. Prints "ready" and reads a line "SLOT CHANGES"; then prints "first"
 * with the first change and "done CHANGES BYTES" with the last one, and is ready again.
 */
public final class Drain {
    private Drain() {}

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        URI server = URI.create(arguments[0]);
        while (true) {
            System.out.println("ready");
            String line = in.readLine();
            if (line == null) {
                System.exit(0);
            }
            String[] words = line.split(" ");
            drain(properties(server, arguments[1], words[0]), Long.parseLong(words[1]));
        }
    }

    private static void drain(Properties properties, long changes) throws Exception {
        AtomicLong seen = new AtomicLong();
        AtomicLong bytes = new AtomicLong();
        CountDownLatch done = new CountDownLatch(1);
        DebeziumEngine<ChangeEvent<String, String>> engine = DebeziumEngine.create(Json.class)
                .using(properties)
                .using((success, message, error) -> {
                    if (!success) {
                        System.err.println(message);
                        System.exit(1);
                    }
                })
                .notifying((List<ChangeEvent<String, String>> events,
                        DebeziumEngine.RecordCommitter<ChangeEvent<String, String>> committer) -> {
                    for (ChangeEvent<String, String> event : events) {
                        if (event.value() != null) {
                            if (seen.get() == 0) {
                                System.out.println("first");
                            }
                            bytes.addAndGet(event.value().length());
                            seen.incrementAndGet();
                        }
                        committer.markProcessed(event);
                    }
                    committer.markBatchFinished();
                    if (seen.get() >= changes) {
                        done.countDown();
                    }
                })
                .build();
        ExecutorService executor = Executors.newSingleThreadExecutor();
        executor.execute(engine);
        done.await();
        System.out.println("done " + seen.get() + " " + bytes.get());
        engine.close();
        executor.shutdown();
    }

    static Properties properties(URI server, String publication, String slot) {
        String[] user = server.getUserInfo().split(":", 2);
        Properties properties = new Properties();
        properties.setProperty("name", slot);
        properties.setProperty("connector.class", "io.debezium.connector.postgresql.PostgresConnector");
        properties.setProperty("database.hostname", server.getHost());
        properties.setProperty("database.port", Integer.toString(server.getPort()));
        properties.setProperty("database.user", user[0]);
        properties.setProperty("database.password", user.length > 1 ? user[1] : "none");
        properties.setProperty("database.dbname", server.getPath().substring(1));
        properties.setProperty("topic.prefix", "bench");
        properties.setProperty("plugin.name", "pgoutput");
        properties.setProperty("slot.name", slot);
        properties.setProperty("publication.name", publication);
        properties.setProperty("publication.autocreate.mode", "disabled");
        properties.setProperty("snapshot.mode", "no_data");
        properties.setProperty("tombstones.on.delete", "false");
        // What its documentation tells to raise for throughput.
        properties.setProperty("max.batch.size", "8192");
        properties.setProperty("max.queue.size", "32768");
        properties.setProperty("poll.interval.ms", "50");
        properties.setProperty("offset.storage", "org.apache.kafka.connect.storage.MemoryOffsetBackingStore");
        properties.setProperty("offset.flush.interval.ms", "1000");
        properties.setProperty("key.converter.schemas.enable", "false");
        properties.setProperty("value.converter.schemas.enable", "false");
        return properties;
    }
}
