/** The steps of a course, as data: what can happen to a session. A failed course can be stored as a list of them. */
import { QUEUE_MODES, type QueueMode } from "@valet/shared/spans";
import fc from "fast-check";
import type { BackendMode } from "./backend.ts";

const CHANNELS = ["a", "b"] as const;

/** Times in which some timer becomes due: a debounce, a grace period, a timeout of the broker, idleness, a stuck turn. */
const WAITS_MS = [50, 2000, 6000, 31_000, 100_000, 130_000, 310_000, 910_000, 1_300_000] as const;

export type Step = (
  | { readonly do: "send"; readonly channel: (typeof CHANNELS)[number]; readonly mode: QueueMode }
  /** The same message arrives again; or it is withdrawn. */
  | { readonly do: "again" | "withdraw"; readonly nth: number }
  | { readonly do: "clear" | "abort" | "hibernate" | "wake" | "terminate" | "delete" }
  /** One of the broker's calls is answered. */
  | { readonly do: "answer"; readonly nth: number; readonly how: "ok" | "refuse" | "reset" | "full" }
  /**
   * Another session takes the slot for a sandbox; the capacity object asks the session to hibernate for it; the other session gives
   * the slot back, and the session receives a notice of that, or not.
   */
  | { readonly do: "crowd" | "yield" }
  | { readonly do: "room"; readonly tells: boolean }
  /** The newest sandbox's runner becomes ready, or only sends a hello, or its start fails. */
  | { readonly do: "boot" | "connect" | "fail-start" }
  /** The runner reads its frames; refuses the received attempts; ends a turn. */
  | { readonly do: "take" | "refuse" }
  /** A turn's agent asks for a permission; a person replies to a request of any time. */
  | { readonly do: "ask" | "reply"; readonly nth: number }
  /** An end arrives of an attempt that has ended, another one than before, or of one that there never was. */
  | { readonly do: "end-other"; readonly nth: number }
  /** An alarm fires that nobody has set. */
  | { readonly do: "alarm" }
  | { readonly do: "finish"; readonly nth: number; readonly outcome: "ok" | "error" }
  /** The runner's link breaks, noticed or not; its process hangs, or dies; its sandbox is lost; its last frame arrives again. */
  | { readonly do: "drop" | "silence" | "hang" | "restart" | "vanish" | "repeat" }
  /** The runner of an older sandbox reconnects. */
  | { readonly do: "stale" }
  /** The next send fails; D1 goes down, or comes back. */
  | { readonly do: "fail-send" | "database" }
  /** The object is evicted, or dies; the host restarts, with everything on it. */
  | { readonly do: "evict" | "crash" | "restart-host" }
  /** The spans' backend answers otherwise from now on. */
  | { readonly do: "backend"; readonly mode: BackendMode }
  /** The next span frame of the runner cannot be read; a runner of today names its spans beside it. */
  | { readonly do: "garble" }
  | { readonly do: "pass"; readonly ms: number }
  /** The object's clock is set back. */
  | { readonly do: "set-back"; readonly ms: number }
) & {
  /** The object dies right after the step, and only this many of its effects have left. */
  readonly dies?: number;
};

const one = <T extends Step["do"]>(...names: T[]) => fc.constantFrom(...names).map((name) => ({ do: name }) as Step);
const nth = fc.nat({ max: 4 });

const weighted: { weight: number; arbitrary: fc.Arbitrary<Step> }[] = [
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constant("send" as const),
      channel: fc.constantFrom(...CHANNELS),
      mode: fc.constantFrom(...QUEUE_MODES),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("again" as const, "withdraw" as const), nth }) },
  { weight: 6, arbitrary: one("clear", "abort", "hibernate", "hibernate", "hibernate", "wake") },
  { weight: 1, arbitrary: one("terminate", "delete") },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant("answer" as const),
      nth,
      how: fc.constantFrom(
        "ok" as const,
        "ok" as const,
        "ok" as const,
        "ok" as const,
        "refuse" as const,
        "reset" as const,
        "full" as const,
      ),
    }),
  },
  { weight: 10, arbitrary: one("boot") },
  { weight: 2, arbitrary: one("connect", "fail-start", "stale") },
  { weight: 12, arbitrary: one("take") },
  { weight: 1, arbitrary: one("refuse") },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constantFrom("ask" as const, "reply" as const, "end-other" as const), nth }),
  },
  { weight: 1, arbitrary: one("alarm") },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("finish" as const),
      nth,
      outcome: fc.constantFrom("ok" as const, "ok" as const, "error" as const),
    }),
  },
  { weight: 6, arbitrary: one("drop", "silence", "hang", "restart", "vanish", "repeat", "repeat", "fail-send") },
  { weight: 3, arbitrary: one("crowd", "yield") },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("room" as const), tells: fc.boolean() }) },
  { weight: 1, arbitrary: one("database", "garble") },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("backend" as const),
      mode: fc.constantFrom<BackendMode>("ok", "away", "refuse", "partial", "page"),
    }),
  },
  { weight: 5, arbitrary: one("evict", "crash", "restart-host") },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("set-back" as const), ms: fc.constantFrom(50, 6000) }) },
  { weight: 10, arbitrary: fc.record({ do: fc.constant("pass" as const), ms: fc.constantFrom(...WAITS_MS) }) },
];

/** After one step in twelve the object dies. */
const anyDeath = fc.oneof(
  { weight: 11, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.nat({ max: 3 }) },
);

export const anyStep: fc.Arbitrary<Step> = fc
  .tuple(fc.oneof(...weighted), anyDeath)
  .map(([step, dies]) => (dies === undefined ? step : { ...step, dies }));
