/**
 * The span that every contender records: a model call, the child of an open span in the same process that has a remote
 * parent, with four attributes at its start, four later, and one event with two attributes.
 */
export interface Input {
  /** The index of its remote parent in {@link PARENTS}. */
  readonly parent: number;
  readonly model: string;
  readonly session: string;
  readonly url: string;
  readonly status: number;
  readonly tokens: number;
  readonly cost: number;
  readonly streamed: boolean;
}

/** Spans per batch: the default of OpenTelemetry's batch processor. */
export const BATCH = 512;

/** Every contender's scope and resource. */
export const SCOPE = { name: "bench", version: "1.0.0" };
export const RESOURCE = { "service.name": "bench", "service.version": "1.0.0" };

const SAMPLED_AND_RANDOM = 3;

/** The contexts of callers: sampled, from another process. */
export const PARENTS = Array.from({ length: 16 }, (_, i) => ({
  traceId: (i + 1).toString(16).padStart(32, "a"),
  spanId: (i + 1).toString(16).padStart(16, "b"),
  traceFlags: SAMPLED_AND_RANDOM,
  traceState: "",
  isRemote: true,
}));

/**
 * Creates inputs that vary as real ones do: strings that are constant, from a small set, or unique; all three kinds of
 * numbers.
 */
export function createInputs(count: number): Input[] {
  return Array.from({ length: count }, (_, i) => ({
    parent: i % PARENTS.length,
    model: `model-${i % 3}`,
    session: `session-${i % 40}`,
    url: `https://api.example.com/v1/sessions/${i % 40}/messages/${crypto.randomUUID()}`,
    status: i % 17 === 0 ? 429 : 200,
    tokens: (i * 7919) % 4096,
    cost: ((i * 104_729) % 10_007) / 65_536,
    streamed: i % 2 === 0,
  }));
}
