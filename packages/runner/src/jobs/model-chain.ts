/** Which models are asked for one prompt, and in which order. Pure. */
import { withProvider } from "@valet/shared/protocol/model-access";

export interface ModelPreference {
  /** Tried first. */
  readonly model?: string | undefined;
  readonly models: readonly string[];
  /** Tried when neither message nor session asks for a model, and last when they do. */
  readonly defaultModel: string;
}

/** Returns the models in order, each once: the same one may be named with its provider and without. */
export function modelChain({ model, models, defaultModel }: ModelPreference): string[] {
  const named = [model, ...models, defaultModel].filter((ref) => ref !== undefined);
  return named.filter((ref, place) => named.findIndex((other) => withProvider(other) === withProvider(ref)) === place);
}
