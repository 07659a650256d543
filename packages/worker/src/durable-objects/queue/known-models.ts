/**
 * Decides which models a message may name. OpenCode learns the models of the deployment's own endpoint when it starts, and refuses
 * any other of that endpoint; it looks up models of well-known providers by itself. Pure.
 */
import { OWN_PROVIDER, withProvider } from "@valet/shared/protocol/model-access";
import type { SendMessage } from "@valet/shared/protocol/session-api";
import type { SessionSettings } from "../core/session-state.ts";

const OWN = `${OWN_PROVIDER}/`;

/**
 * Why a message may not be taken for the models that it asks for, in a sentence; `undefined` where it may. Names the field, never
 * its value.
 * @param otherwise the deployment's model
 */
export function refuseModels(
  { model, models = [] }: Pick<SendMessage, "model" | "models">,
  session: Pick<SessionSettings, "model" | "models">,
  otherwise: string,
): string | undefined {
  const named = [session.model, ...session.models, otherwise].filter((each) => each !== undefined);
  const known = new Set(named.map(withProvider));
  const isUnknown = (ref: string) => withProvider(ref).startsWith(OWN) && !known.has(withProvider(ref));
  const field = model !== undefined && isUnknown(model) ? "model" : models.some(isUnknown) ? "models" : undefined;
  if (field === undefined) return undefined;
  const own = [...known].filter((ref) => ref.startsWith(OWN));
  return `${field}: the session was not made with this model. It knows ${own.join(", ") || "none of this provider"}. Make a session with the model in \`model\` or \`models\`.`;
}
