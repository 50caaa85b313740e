import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.LongBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CyclicBarrier;
import java.util.function.IntFunction;

/**
 * Java's ConcurrentHashMap under the loads of {@code versus}: same keys, same operations in the same
 * order, same numbers of threads, answers checked in the same way. {@code versus --java} starts this
 * and asks for one slice after the other, so that they interleave with those of the other maps.
 *
 * <p>Reads commands, one a line, and answers each with a line of JSON:
 *
 * <pre>
 * stream FILE               the keys that hot and reads ask for, as little-endian longs
 * hot ENTRIES ONE_UPDATE_IN a filled map; reads of the stream's keys, one in so many an update
 * reads ENTRIES THERE       the same without updates; whether their keys are there (true, false)
 * growth ENTRIES            the insertion of all entries into a new map
 * steady CAPACITY QUARTERS ORDER     a mix on a map of which so many quarters are filled
 * growing CAPACITY ORDER    the same, on a map that is empty before each slice
 * run THREADS MILLIS START  a slice; START is where in the stream the first thread begins
 * check                     how many entries there are, and how many there should be
 * </pre>
 *
 * ORDER is a hundred letters: r(ead), i(nsert), d(elete), u(pdate). Loads are warmed up before they
 * are said to be ready.
 */
public final class Versus {
    private static final int LANES = 64;
    private static final int TURN = 100;
    private static final int SESSION = 64;
    private static final long PRIME = 2_654_435_761L;
    private static final long WARM_UP_NANOS = 2_000_000_000L;

    private static long[] stream = new long[0];
    private static Load load;

    /** Tells all shifts of a slice that its time is over. */
    private static volatile boolean over;

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            System.out.println(answer(line.split(" ")));
            System.out.flush();
        }
    }

    private static String answer(String[] words) throws Exception {
        switch (words[0]) {
            case "stream":
                stream = read(Path.of(words[1]));
                return "{\"ready\": true}";
            case "hot":
                return ready(new Hot(number(words[1]), number(words[2]), true));
            case "reads":
                return ready(new Hot(number(words[1]), 0, Boolean.parseBoolean(words[2])));
            case "growth":
                return ready(new Growth(number(words[1])));
            case "steady":
                return ready(new Mixed(number(words[1]), number(words[2]), words[3], true));
            case "growing":
                return ready(new Mixed(number(words[1]), 0, words[2], false));
            case "run":
                Work work = load.slice(number(words[1]), number(words[2]), Long.parseLong(words[3]));
                return String.format(
                        "{\"nanoseconds\": %d, \"operations\": %d, \"wrong\": %d}",
                        work.nanoseconds, work.operations, work.wrong);
            case "check":
                return String.format(
                        "{\"entries\": %d, \"expected\": %d}", load.entries(), load.expected());
            default:
                throw new IllegalArgumentException(words[0]);
        }
    }

    private static int number(String word) {
        return Integer.parseInt(word);
    }

    private static long[] read(Path file) throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        LongBuffer longs = bytes.asLongBuffer();
        long[] keys = new long[longs.remaining()];
        longs.get(keys);
        return keys;
    }

    /** Lets the compiler do its work, with one thread and with two. */
    private static String ready(Load next) throws Exception {
        load = next;
        long begin = System.nanoTime();
        for (long start = 0; System.nanoTime() - begin < WARM_UP_NANOS; start += 1_000_000) {
            load.slice(1, 200, start);
            load.slice(2, 200, start);
        }
        System.gc();
        return "{\"ready\": true}";
    }

    /** The finalizer of SplitMix64, as in keys.rs. */
    private static long mix(long bits) {
        bits = (bits ^ (bits >>> 30)) * 0xbf58476d1ce4e5b9L;
        bits = (bits ^ (bits >>> 27)) * 0x94d049bb133111ebL;
        return bits ^ (bits >>> 31);
    }

    private static ConcurrentHashMap<Long, Long> filled(int entries) {
        ConcurrentHashMap<Long, Long> map = new ConcurrentHashMap<>();
        for (int i = 0; i < entries; i++) {
            long key = mix(i);
            map.put(key, ~key);
        }
        return map;
    }

    private static boolean isRight(Long value, long key, boolean there) {
        return there ? value != null && value == ~key : value == null;
    }

    /** What the threads of a slice came to. */
    private static final class Work {
        long nanoseconds;
        long operations;
        long wrong;
    }

    private interface Load {
        Work slice(int threads, int millis, long start) throws Exception;

        long entries();

        long expected();
    }

    /** What one thread does in a slice. */
    private abstract static class Shift implements Runnable {
        CyclicBarrier barrier;
        long begin;
        long end;
        long operations;
        long wrong;

        abstract void work();

        @Override
        public void run() {
            try {
                barrier.await();
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
            begin = System.nanoTime();
            work();
            end = System.nanoTime();
        }
    }

    /** All shifts at the same time; those of a fixed time are told when it is over. */
    private static Work run(int threads, int millis, IntFunction<Shift> shift) throws Exception {
        CyclicBarrier barrier = new CyclicBarrier(threads + 1);
        List<Shift> shifts = new ArrayList<>();
        List<Thread> running = new ArrayList<>();
        over = false;
        for (int number = 0; number < threads; number++) {
            Shift next = shift.apply(number);
            next.barrier = barrier;
            shifts.add(next);
            Thread thread = new Thread(next);
            thread.start();
            running.add(thread);
        }
        barrier.await();
        if (millis > 0) {
            Thread.sleep(millis);
            over = true;
        }
        Work work = new Work();
        for (Thread thread : running) {
            thread.join();
        }
        long begin = Long.MAX_VALUE;
        long end = Long.MIN_VALUE;
        for (Shift each : shifts) {
            begin = Math.min(begin, each.begin);
            end = Math.max(end, each.end);
            work.operations += each.operations;
            work.wrong += each.wrong;
        }
        work.nanoseconds = end - begin;
        return work;
    }

    /** Reads of the stream's keys, which are there or are not, and updates. */
    private static final class Hot implements Load {
        final ConcurrentHashMap<Long, Long> map;
        final int entries;
        final int oneUpdateIn;
        final boolean there;

        Hot(int entries, int oneUpdateIn, boolean there) {
            this.entries = entries;
            this.oneUpdateIn = oneUpdateIn;
            this.there = there;
            map = filled(entries);
        }

        @Override
        public Work slice(int threads, int millis, long start) throws Exception {
            return run(threads, millis, number -> new Shift() {
                @Override
                void work() {
                    long[] keys = stream;
                    int part = keys.length / threads;
                    int position = (int) ((start + (long) number * part) % keys.length);
                    int sinceUpdate = 0;
                    while (!over) {
                        for (int i = 0; i < SESSION; i++) {
                            long key = keys[position];
                            position = position + 1 == keys.length ? 0 : position + 1;
                            sinceUpdate++;
                            boolean right;
                            if (sinceUpdate == oneUpdateIn) {
                                sinceUpdate = 0;
                                right = map.replace(key, ~key) != null;
                            } else {
                                right = isRight(map.get(key), key, there);
                            }
                            if (!right) {
                                wrong++;
                            }
                        }
                        operations += SESSION;
                    }
                }
            });
        }

        @Override
        public long entries() {
            return map.size();
        }

        @Override
        public long expected() {
            return entries;
        }
    }

    /** Fills a new map. */
    private static final class Growth implements Load {
        final long[] keys;
        ConcurrentHashMap<Long, Long> map = new ConcurrentHashMap<>();

        Growth(int entries) {
            keys = new long[entries];
            for (int i = 0; i < entries; i++) {
                keys[i] = mix(i);
            }
        }

        @Override
        public Work slice(int threads, int millis, long start) throws Exception {
            map = new ConcurrentHashMap<>();
            ConcurrentHashMap<Long, Long> into = map;
            return run(threads, 0, number -> new Shift() {
                @Override
                void work() {
                    for (int first = number * SESSION; first < keys.length;
                            first += threads * SESSION) {
                        for (int i = first; i < Math.min(first + SESSION, keys.length); i++) {
                            if (into.put(keys[i], ~keys[i]) != null) {
                                wrong++;
                            }
                            operations++;
                        }
                    }
                }
            });
        }

        @Override
        public long entries() {
            return map.size();
        }

        @Override
        public long expected() {
            return keys.length;
        }
    }

    /** The mixes: lanes.rs says how. */
    private static final class Mixed implements Load {
        final int capacity;
        final byte[] order;
        final boolean steady;
        ConcurrentHashMap<Long, Long> map;
        Lane[] lanes;

        Mixed(int capacity, int quarters, String order, boolean steady) {
            this.capacity = capacity;
            this.order = order.getBytes();
            this.steady = steady;
            renew();
            long each = capacity / 4 * quarters / LANES;
            for (long i = 0; i < LANES * each; i++) {
                long place = i * PRIME % (LANES * each);
                lanes[(int) (place / each)].fill(map, place % each);
            }
            for (Lane lane : lanes) {
                lane.inserted = each;
            }
        }

        private void renew() {
            map = new ConcurrentHashMap<>(capacity);
            lanes = new Lane[LANES];
            int askedFor = (capacity / LANES) << (steady ? 1 : 0);
            for (int i = 0; i < LANES; i++) {
                lanes[i] = new Lane(i, askedFor, steady);
            }
        }

        @Override
        public Work slice(int threads, int millis, long start) throws Exception {
            if (!steady) {
                renew();
            }
            int turns = capacity / LANES / TURN;
            Work work = run(threads, steady ? millis : 0, number -> new Shift() {
                @Override
                void work() {
                    int own = (LANES - number + threads - 1) / threads;
                    long limit = steady ? Long.MAX_VALUE : (long) turns * own;
                    long done = 0;
                    while (!over && done < limit) {
                        lanes[number + (int) (done % own) * threads].turn(map, order);
                        done++;
                    }
                    operations = done * TURN;
                }
            });
            for (Lane lane : lanes) {
                work.wrong += lane.wrong;
            }
            return work;
        }

        @Override
        public long entries() {
            return map.size();
        }

        @Override
        public long expected() {
            long there = 0;
            for (Lane lane : lanes) {
                there += lane.inserted - lane.removed;
            }
            return there;
        }
    }

    /** Keys of which one thread at a time disposes. */
    private static final class Lane {
        final long number;
        final int bits;
        final boolean follows;
        long removed;
        long inserted;
        long find;
        long wrong;

        Lane(int number, int askedFor, boolean follows) {
            this.number = number;
            this.bits = Integer.numberOfTrailingZeros(askedFor);
            this.follows = follows;
            this.find = mix(number);
        }

        private long key(long index) {
            return mix(number << 40 | index);
        }

        private long next() {
            find = find * 6364136223846793005L + 1442695040888963407L;
            return (find >>> (64 - bits)) + (follows ? removed : 0);
        }

        private boolean isThere(long index) {
            return removed <= index && index < inserted;
        }

        void fill(ConcurrentHashMap<Long, Long> map, long index) {
            long key = key(index);
            count(map.put(key, ~key) == null);
        }

        void insert(ConcurrentHashMap<Long, Long> map) {
            long key = key(inserted);
            inserted++;
            count(map.put(key, ~key) == null);
        }

        void turn(ConcurrentHashMap<Long, Long> map, byte[] order) {
            for (byte operation : order) {
                switch (operation) {
                    case 'r': {
                        long index = next();
                        long key = key(index);
                        count(isRight(map.get(key), key, isThere(index)));
                        break;
                    }
                    case 'i':
                        insert(map);
                        break;
                    case 'd': {
                        boolean there = removed < inserted;
                        long key = key(removed);
                        removed += there ? 1 : 0;
                        count((map.remove(key) != null) == there);
                        break;
                    }
                    default: {
                        long index = next();
                        long key = key(index);
                        count((map.replace(key, ~key) != null) == isThere(index));
                    }
                }
            }
        }

        private void count(boolean right) {
            if (!right) {
                wrong++;
            }
        }
    }
}
