/** One WebSocket of a runner: its attachment, refusing and closing it, and checks of a frame before it is parsed. */
import type { LinkProtocols } from "@valet/shared/protocol/link-protocol";
import {
  FromRunner as FromRunnerSchema,
  MAX_LINK_FRAME_BYTES,
  type ToRunner,
  type ToRunnerOf,
} from "@valet/shared/protocol/runner-link";
import { isTokenOf } from "../core/ids.ts";
import type { SessionRecord } from "../core/session-state.ts";

export type Refusal = ToRunnerOf<"refused">["reason"];

/** What a socket's attachment keeps while the object hibernates. */
export interface Connection {
  readonly role: "runner";
  readonly id: string;
  readonly generation: number;
  readonly connectedMs: number;
  readonly badFrames: number;
  /** Whether it has said hello. */
  readonly greeted?: boolean;
  /** The object closed it for a violation: frames that still arrive are not read. */
  readonly isCut?: boolean;
}

const KNOWN_TYPES = new Set<unknown>(FromRunnerSchema.options.map(({ shape }) => shape.type.value));

export const NORMAL = 1000;
export const POLICY_VIOLATION = 1008;
export const TOO_BIG = 1009;
export const INTERNAL_ERROR = 1011;
export const SILENT = 4408;
/** Close codes of refusals, for peers that do not see the frame. */
const REFUSED: Record<Refusal, number> = {
  token_refused: 4401,
  stale_generation: 4409,
  superseded: 4410,
  protocol_unsupported: 4412,
};

/**
 * Returns why a runner may not connect; `undefined` if it may. Only whoever shows a token of one of the session's runners learns more
 * than that it may not.
 */
export function refusalOf(record: SessionRecord, token: string, generation: number): Refusal | undefined {
  const { tokenHash, formerTokenHashes = [] } = record;
  const isOurs = tokenHash !== undefined && isTokenOf(token, tokenHash);
  if (isOurs && generation === record.generation) return undefined;
  const isKnown = isOurs || formerTokenHashes.some((hash) => isTokenOf(token, hash));
  const isOver = generation < record.generation || (generation === record.generation && tokenHash === undefined);
  return isKnown && isOver ? "stale_generation" : "token_refused";
}

export function connectionOf(socket: WebSocket): Connection | undefined {
  const attachment = socket.deserializeAttachment() as Partial<Connection> | null;
  return attachment?.role === "runner" ? (attachment as Connection) : undefined;
}

/**
 * Completes the closing handshake that a peer began (RFC 6455, section 5.5.1). The platform does not do so for sockets that may hibernate:
 * the peer would wait for the answer, and its socket would go on to count as open.
 */
export function answerClose(socket: WebSocket, code: number): void {
  try {
    // `close` takes 1000 and 3000 to 4999 only, and 1005, 1006 and 1015 may not be sent at all.
    socket.close(code >= 3000 && code < 5000 ? code : NORMAL);
  } catch {
    // It is closed.
  }
}

export function refuse(socket: WebSocket, reason: Refusal, protocols?: LinkProtocols): void {
  trySend(socket, { type: "refused", reason, ...(protocols && { protocols }) });
  close(socket, REFUSED[reason], reason);
}

export function trySend(socket: WebSocket, frame: ToRunner): void {
  try {
    socket.send(JSON.stringify(frame));
  } catch {
    // It is closing; the close event follows.
  }
}

export function close(socket: WebSocket, code: number, reason: string): void {
  try {
    socket.close(code, reason);
  } catch {
    // It is closed.
  }
}

/** Counts bytes only if the length leaves a doubt: a UTF-16 code unit takes up to three bytes. */
export function isTooLarge(text: string): boolean {
  if (text.length * 3 <= MAX_LINK_FRAME_BYTES) return false;
  return text.length > MAX_LINK_FRAME_BYTES || new TextEncoder().encode(text).length > MAX_LINK_FRAME_BYTES;
}

export function isUnknownType(text: string): boolean {
  try {
    const { type } = JSON.parse(text) as { type?: unknown };
    return typeof type === "string" && !KNOWN_TYPES.has(type);
  } catch {
    return false;
  }
}
