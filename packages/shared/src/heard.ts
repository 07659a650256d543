import type { AttributeKey } from "./spans.ts";

/**
 * What is heard of what an open span waits for, and the attribute that says when that was last, epoch ms. `content` is a chunk of the
 * model's answer, or output of the tool. Of a model call also `request`: a request to the provider is about to be sent; `byte`: the
 * provider sent anything at all; and `first`: the first `content` of the call's last try.
 */
export const HEARD = {
  content: "valet.last_heard_ms",
  request: "valet.llm.last_request_ms",
  byte: "valet.llm.last_byte_ms",
  first: "valet.llm.first_content_ms",
} as const satisfies Record<string, AttributeKey>;
export type Heard = keyof typeof HEARD;
