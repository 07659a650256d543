/** Between the Worker and the service of `valet up` through which it sends webhooks. */
import { z } from "zod";

/** The header that has the URL of the endpoint. All other headers and the body are what is sent there. */
export const EGRESS_TARGET = "x-valet-egress-target";

/** The answer: the endpoint's status, or why there is none. */
export const EgressAnswer = z.union([z.object({ status: z.int() }), z.object({ error: z.string() })]);
export type EgressAnswer = z.infer<typeof EgressAnswer>;
