/** Who asked for something. */
import type { SpanContext } from "@valet/shared/tracing";

export interface Asker {
  /** The user on whose behalf it is done; absent if no person asked. */
  readonly userId?: string | undefined;
  /** The span of the request, or of what caused it. */
  readonly context?: SpanContext | undefined;
}
