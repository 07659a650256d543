/**
 * Between the Worker and the service of `valet up` through which it sends requests to hosts that somebody with a token has named:
 * webhooks, and questions about repositories. The service connects to public addresses only.
 */
import { z } from "zod";

/** The header that has the URL that is asked for. The method and the body are those of the request to the service. */
export const EGRESS_TARGET = "x-valet-egress-target";

/** The URL of the service for each purpose. A purpose decides which headers are sent, how long it may take, and what is read. */
export const EGRESS_URLS = { webhook: "http://egress/webhook", git: "http://egress/git" } as const;
export type EgressPurpose = keyof typeof EGRESS_URLS;

/**
 * How much is read of an answer about a repository, in bytes; the rest is cut off. It is more than the refs of one branch, and than the
 * advertisement of version 2; older servers list all refs, which is cut. Nothing is read of a webhook's answer.
 */
export const MAX_GIT_ANSWER_BYTES = 64 * 1024;

/** The answer: the host's status and what was read, or why there is none. */
export const EgressAnswer = z.union([
  z.object({ status: z.int(), contentType: z.string().nullable(), text: z.string() }),
  z.object({ error: z.string() }),
]);
export type EgressAnswer = z.infer<typeof EgressAnswer>;
