/**
 * The span that every contender records: a model call, child of a span that is open in the same process and has a remote
 * parent itself, with four attributes known at its start, four known later, and one event of two attributes.
 */
export interface Input {
  /** Below which of {@link PARENTS}. */
  readonly parent: number;
  readonly model: string;
  readonly session: string;
  readonly url: string;
  readonly status: number;
  readonly tokens: number;
  readonly cost: number;
  readonly streamed: boolean;
}

/** Spans in a batch: the default of OpenTelemetry's batch processor. */
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

/** Inputs that vary as real ones do: strings from a set of one, of a few, and never twice; all three kinds of numbers. */
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
