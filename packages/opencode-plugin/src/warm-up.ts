/**
 * Answers the model call of a warm-up prompt inside OpenCode's process. The runner sends such a prompt so that OpenCode loads
 * its providers, plugins and tools before the first message. No request of it leaves the process, whatever provider the
 * model has, so it costs nothing.
 */
import { WARM_UP_MARK } from "@valet/shared/protocol/child-sessions";
import { warmUpAnswer } from "./warm-up-answer.ts";

/** Marks a request that is answered here; its value is the npm package of the model's provider. */
const HEADER = "x-valet-warm-up";
/** Nothing listens on this port. */
const NOWHERE = "http://127.0.0.1:9/";

/** OpenCode's input for the headers of a call. */
interface HeadersInput {
  readonly message?: { readonly id?: string };
  readonly model?: { readonly api?: { readonly npm?: string } };
}

/** Replaces the global `fetch` by one that answers the requests of warm-up prompts and passes on all others. */
export function answerWarmUps() {
  const original = globalThis.fetch;
  const answering = async (input: Parameters<typeof fetch>[0], init?: Parameters<typeof fetch>[1]) => {
    const headers = new Headers(init?.headers ?? (input instanceof Request ? input.headers : undefined));
    const provider = headers.get(HEADER);
    return provider === null ? original(input, init) : warmUpAnswer(provider);
  };
  globalThis.fetch = Object.assign(answering, original);

  return {
    /** Whether the model call is that of a warm-up prompt. */
    isWarmUp: ({ message }: HeadersInput) => message?.id?.endsWith(WARM_UP_MARK) === true,
    /**
     * Marks the request.
     * @throws when requests do not pass through here, because another plugin replaced `fetch`; OpenCode then makes no request
     */
    mark: async ({ model }: HeadersInput, output: { headers: Record<string, string> }) => {
      const mark = { [HEADER]: model?.api?.npm ?? "" };
      const probe = await globalThis.fetch(NOWHERE, { headers: mark });
      if (probe.url !== "") throw new Error("The warm-up's model call would leave the process.");
      Object.assign(output.headers, mark);
    },
  };
}
