/** Watches a session over its WebSocket until it ends, somebody stops, or nobody reads the output any more. */
import { setTimeout as sleep } from "node:timers/promises";
import { ClientEvent, type ClientMessage } from "@valet/shared/protocol/client-socket";
import type { NowView } from "@valet/shared/protocol/now";
import type { ApiClient } from "../api-client.ts";
import { ApiError } from "../api-transport.ts";
import { WatchModel } from "./watch-model.ts";

/** Changes that come in quick succession are asked about once, in ms. */
const GATHER_MS = 300;
/** How often the verdict is asked for without a change, in ms: time alone may change it. */
const REFRESH_MS = 5_000;
/** The pause before another connection, in ms; it doubles up to the longest. */
const PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5_000;

export interface WatchOutput {
  /** Called with the lines that were added to the story, which may be none, after every change. */
  changed(model: WatchModel, lines: readonly string[]): void;
  /** Says how the connection is; empty if it is up. */
  notice(text: string): void;
}

/**
 * Resolves when the session has ended or `signal` is aborted, to what the session did last. Connects again after a lost connection.
 * @throws ApiError if the API refuses, for example for an unknown session
 */
export async function watchSession(
  api: ApiClient,
  sessionId: string,
  output: WatchOutput,
  signal: AbortSignal,
): Promise<NowView | undefined> {
  const model = new WatchModel();
  const refresh = async () => output.changed(model, model.setNow(await api.now(sessionId)));
  const isOver = () => signal.aborted || model.now?.status === "terminated";
  await refresh();
  let pauseMs = PAUSE_MS;
  while (!isOver()) {
    try {
      const socket = await api.openEvents(sessionId);
      const wasUp = await follow(socket, { model, refresh, output, signal });
      if (wasUp) pauseMs = PAUSE_MS;
    } catch (error) {
      // A refusal stays one; a Valet that does not answer may come back.
      if (error instanceof ApiError && error.status < 500) throw error;
    }
    if (isOver()) break;
    output.notice("The connection is lost; trying again. The session's work goes on.");
    await sleep(pauseMs, undefined, { signal }).catch(() => {});
    pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
  }
  return model.now;
}

interface Follow {
  readonly model: WatchModel;
  readonly refresh: () => Promise<void>;
  readonly output: WatchOutput;
  readonly signal: AbortSignal;
}

/** Follows one connection to its end. @returns whether it was ever open */
function follow(socket: WebSocket, { model, refresh, output, signal }: Follow): Promise<boolean> {
  return new Promise((resolve) => {
    let isOpen = false;
    let due: NodeJS.Timeout | undefined;
    const ask = (delayMs: number) => {
      due ??= setTimeout(async () => {
        due = undefined;
        // Without an answer the connection will close, too, and say so.
        await refresh().catch(() => {});
        if (model.now?.status === "terminated") stop();
      }, delayMs);
    };
    const tick = setInterval(() => ask(0), REFRESH_MS);
    const end = () => {
      clearInterval(tick);
      clearTimeout(due);
      signal.removeEventListener("abort", stop);
      resolve(isOpen);
    };
    const stop = () => {
      socket.close();
      // Its answer may never come.
      end();
    };
    // Ctrl-C during the request for the socket.
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    socket.addEventListener("open", () => {
      isOpen = true;
      output.notice("");
      ask(0);
    });
    socket.addEventListener("message", ({ data }) => {
      const event = parseEvent(data);
      if (event === undefined) return;
      if (event.type === "sync") {
        socket.send(JSON.stringify({ type: "synced", read: event.read } satisfies ClientMessage));
        return;
      }
      const { isChange, lines } = model.apply(event);
      output.changed(model, lines);
      if (isChange) ask(GATHER_MS);
    });
    socket.addEventListener("error", () => socket.close());
    socket.addEventListener("close", end);
  });
}

/** Returns an event; `undefined` for one of a newer Valet that this version does not know. */
function parseEvent(data: unknown): ClientEvent | undefined {
  try {
    return ClientEvent.safeParse(JSON.parse(String(data))).data;
  } catch {
    return undefined;
  }
}
