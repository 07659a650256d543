/** What a new session is to be, as far as it is known. */
import { createContext, useContext } from "react";

export type SessionDraft = Readonly<Partial<Record<"repoUrl" | "branch" | "model" | "title", string>>>;

const CreateSession = createContext<(draft: SessionDraft) => void>(() => undefined);

/** Gives the rows of the inbox the way to the dialog. */
export const CreateSessionProvider = CreateSession.Provider;

/** Returns what opens the dialog of a new session. */
export function useCreateSession(): (draft: SessionDraft) => void {
  return useContext(CreateSession);
}
