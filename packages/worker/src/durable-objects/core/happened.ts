/** What has happened in a session that others are told of, once D1 has it. */
import type { SessionStatus, TurnRecord } from "@valet/shared/protocol/session-view";

/** A turn that ended, with the sentence of `why` if somebody listens; or a status that the session took. */
export type Happened =
  | { readonly turn: TurnRecord; readonly sentence: string | undefined }
  | { readonly status: SessionStatus; readonly atMs: number };
