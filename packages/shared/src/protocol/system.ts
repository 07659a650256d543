/** What a running system says about what it needs: its model's provider, and the broker of its sandboxes. */
import { z } from "zod";
import { SANDBOX_DRIVERS } from "../spans.ts";

/** What a check of the model's provider found, without a call that costs money. */
export const PROVIDER_STATES = [
  /** It answers, takes the key, and has the model. */
  "ok",
  /** It answers, but it is not known whether it has the model. */
  "model_unconfirmed",
  /** It answers, and does not have the model. */
  "model_unknown",
  /** It refuses the key, or there is none. */
  "key_refused",
  /** It does not answer. */
  "unreachable",
  /** It answers with an error. */
  "failing",
  /** There is no way to ask it that is known and free. */
  "unchecked",
] as const;

export const BROKER_STATES = ["ok", "unreachable", "not_a_broker"] as const;

export const SystemView = z.object({
  model: z.object({
    model: z.string().describe("The model if neither message nor session names one, as `provider/model`"),
    host: z.string().nullable().describe("The provider's host and port, as it was asked; null if it was not"),
    state: z.enum(PROVIDER_STATES),
    status: z.int().nullable().describe("The HTTP status of its answer; null without one"),
  }),
  broker: z.object({
    host: z.string().describe("Its host and port"),
    state: z.enum(BROKER_STATES),
    driver: z.enum(SANDBOX_DRIVERS).nullable(),
    awake: z.int().nonnegative().nullable().describe("Sandboxes that run now; null if the broker does not know"),
    isDraining: z.boolean().nullable().describe("Whether it starts no further sandboxes"),
  }),
  capacity: z
    .object({ awake: z.int().positive().nullable(), starting: z.int().positive().nullable() })
    .describe("How many sandboxes may be awake, and starting, at once; null without a limit"),
});
export type SystemView = z.infer<typeof SystemView>;
