import { SANDBOX, type SpanDefinition } from "./definition.ts";
import { endedBy } from "./error-types.ts";

/** The attributes of a step, as far as they are known. */
const STEP = [...SANDBOX, "valet.snapshot.id"] as const;

/** The steps of the sandbox broker's work on a request. */
export const BROKER_SPANS = {
  "valet.sandbox.prepare": {
    meaning: "The broker creates the sandbox's folders and its record.",
    kind: "INTERNAL",
    emitters: ["broker"],
    parents: ["{method} {route}"],
    required: [],
    optional: STEP,
    errors: endedBy("broker_step"),
    links: [],
  },
  "valet.sandbox.copy": {
    meaning: "The broker copies files out of a snapshot, or into one while the processes are paused.",
    kind: "INTERNAL",
    emitters: ["broker"],
    parents: ["{method} {route}", "valet.sandbox.pause"],
    required: ["valet.snapshot.id"],
    optional: SANDBOX,
    errors: endedBy("broker_step"),
    links: [],
  },
  "valet.sandbox.process_start": {
    meaning: "The broker starts the entrypoint.",
    kind: "INTERNAL",
    emitters: ["broker"],
    parents: ["{method} {route}"],
    required: [],
    optional: STEP,
    errors: endedBy("broker_step"),
    links: [],
  },
  "valet.sandbox.pause": {
    meaning: "The sandbox's processes are paused.",
    kind: "INTERNAL",
    emitters: ["broker"],
    parents: ["{method} {route}"],
    required: [],
    optional: STEP,
    errors: endedBy("broker_step"),
    links: [],
  },
  "valet.sandbox.commit": {
    meaning: "The broker makes a copy durable, which turns it into a snapshot.",
    kind: "INTERNAL",
    emitters: ["broker"],
    parents: ["{method} {route}"],
    required: ["valet.snapshot.id"],
    optional: [...SANDBOX, "valet.snapshot.size_bytes", "valet.snapshot.left_out_count"],
    errors: endedBy("broker_step"),
    links: [],
  },
  "valet.sandbox.process_stop": {
    meaning: "The broker ends the sandbox's processes.",
    kind: "INTERNAL",
    emitters: ["broker"],
    parents: ["{method} {route}"],
    required: [],
    optional: STEP,
    errors: endedBy("broker_step"),
    links: [],
  },
  "valet.sandbox.remove": {
    meaning: "The broker removes the files of a sandbox or a snapshot.",
    kind: "INTERNAL",
    emitters: ["broker"],
    parents: ["{method} {route}"],
    required: [],
    optional: STEP,
    errors: endedBy("broker_step"),
    links: [],
  },
} as const satisfies Record<string, SpanDefinition>;
