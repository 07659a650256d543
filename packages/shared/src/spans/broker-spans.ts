import { SANDBOX, type SpanDefinition } from "./definition.ts";
import { endedBy } from "./error-types.ts";

/** What a step is told of, as far as it is known. */
const STEP = [...SANDBOX, "valet.snapshot.id"] as const;

/** What the sandbox broker spends a request's time on. */
export const BROKER_SPANS = {
  "valet.sandbox.prepare": {
    meaning: "The sandbox's folders are made and it is put on record.",
    kind: "INTERNAL",
    emitters: ["broker"],
    parents: ["{method} {route}"],
    required: [],
    optional: STEP,
    errors: endedBy("broker_step"),
    links: [],
  },
  "valet.sandbox.copy": {
    meaning: "Files are copied: out of a snapshot, or into one while the processes stand still.",
    kind: "INTERNAL",
    emitters: ["broker"],
    parents: ["{method} {route}", "valet.sandbox.pause"],
    required: ["valet.snapshot.id"],
    optional: SANDBOX,
    errors: endedBy("broker_step"),
    links: [],
  },
  "valet.sandbox.process_start": {
    meaning: "The entrypoint is started.",
    kind: "INTERNAL",
    emitters: ["broker"],
    parents: ["{method} {route}"],
    required: [],
    optional: STEP,
    errors: endedBy("broker_step"),
    links: [],
  },
  "valet.sandbox.pause": {
    meaning: "The sandbox's processes stand still.",
    kind: "INTERNAL",
    emitters: ["broker"],
    parents: ["{method} {route}"],
    required: [],
    optional: STEP,
    errors: endedBy("broker_step"),
    links: [],
  },
  "valet.sandbox.commit": {
    meaning: "A copy is made durable and becomes a snapshot.",
    kind: "INTERNAL",
    emitters: ["broker"],
    parents: ["{method} {route}"],
    required: ["valet.snapshot.id"],
    optional: [...SANDBOX, "valet.snapshot.size_bytes", "valet.snapshot.left_out_count"],
    errors: endedBy("broker_step"),
    links: [],
  },
  "valet.sandbox.process_stop": {
    meaning: "The sandbox's processes are ended.",
    kind: "INTERNAL",
    emitters: ["broker"],
    parents: ["{method} {route}"],
    required: [],
    optional: STEP,
    errors: endedBy("broker_step"),
    links: [],
  },
  "valet.sandbox.remove": {
    meaning: "The files of a sandbox or a snapshot are removed.",
    kind: "INTERNAL",
    emitters: ["broker"],
    parents: ["{method} {route}"],
    required: [],
    optional: STEP,
    errors: endedBy("broker_step"),
    links: [],
  },
} as const satisfies Record<string, SpanDefinition>;
