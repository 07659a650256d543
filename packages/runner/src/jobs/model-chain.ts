/** Decides which models a prompt tries, and in which order. Pure. */
import { withProvider } from "@valet/shared/protocol/model-access";

export interface ModelPreference {
  /** Tried first. */
  readonly model?: string | undefined;
  readonly models: readonly string[];
  /** Tried last, after the models of message and session. */
  readonly defaultModel: string;
}

/** Returns the models in order, each once, even if one is named both with and without its provider. */
export function modelChain({ model, models, defaultModel }: ModelPreference): string[] {
  const named = [model, ...models, defaultModel].filter((ref) => ref !== undefined);
  return named.filter((ref, place) => named.findIndex((other) => withProvider(other) === withProvider(ref)) === place);
}
