/** Runs one session of the soak: its messages one after the other, with faults, to its end. */
import { setTimeout as sleep } from "node:timers/promises";
import { ApiError } from "../../packages/cli/src/api-transport.ts";
import { waitFor } from "../../packages/cli/src/wait.ts";
import type { MessageView } from "../../packages/shared/src/protocol/session-view.ts";
import type { Backend } from "./backend.ts";
import type { ValetProcess } from "./valet-process.ts";

/** In the order of `faultOf`; every fourth message has no fault. */
const FAULTS = [
  "none",
  "runner",
  "duplicate",
  "sleep",
  "none",
  "opencode",
  "backend",
  "hibernate",
  "none",
  "workerd",
] as const;
export type Fault = (typeof FAULTS)[number];

export interface SoakWorld {
  readonly valet: ValetProcess;
  readonly backend: Backend;
  /** Returns whether workerd may be killed yet: the memory of a fresh process says nothing. */
  readonly mayKillWorkerd: () => boolean;
  readonly report: (line: string) => void;
}

export interface SessionEnd {
  readonly id: string;
  readonly messages: readonly MessageView[];
  readonly faults: readonly Fault[];
}

const TIMEOUT_MS = 240_000;
const REFUSAL_MS = 3000;
/** The tries of a request while the Worker is down or starting. */
const MAX_TRIES = 60;
const TRY_AGAIN_MS = 500;

/** Runs the session. @param number of the session, from 0, which determines its faults */
export async function runSession(world: SoakWorld, number: number, messageCount: number): Promise<SessionEnd> {
  const { valet, report } = world;
  const { id } = await again(() => valet.api.createSession({ title: `soak ${number}` }));
  const faults: Fault[] = [];
  for (let index = 0; index < messageCount; index++) {
    const fault = faultOf(number, index, world);
    const done = await sendOne(world, id, `${id}-${index}`, fault);
    faults.push(fault);
    report(`session ${number}, message ${index}: ${fault}, ${done.outcome} ${done.errorType ?? ""}`);
  }
  await again(() => valet.api.change(id, "terminate"));
  const view = () => again(() => valet.api.session(id));
  await waitFor("the session's end", view, ({ status }) => status === "terminated", TIMEOUT_MS);
  return { id, messages: await again(() => valet.api.messages(id)), faults };
}

function faultOf(number: number, index: number, { mayKillWorkerd }: SoakWorld): Fault {
  const fault = FAULTS[(number * 3 + index) % FAULTS.length] as Fault;
  return fault === "workerd" && !mayKillWorkerd() ? "none" : fault;
}

async function sendOne(world: SoakWorld, sessionId: string, id: string, fault: Fault): Promise<MessageView> {
  const { valet, backend } = world;
  const { api } = valet;
  const isKill = fault === "runner" || fault === "opencode" || fault === "workerd";
  const content = isKill || fault === "hibernate" ? "Answer slowly." : "Answer at once.";
  const send = () => again(() => api.sendMessage(sessionId, { content, id }));
  const message = () =>
    again(async () => {
      const found = (await api.messages(sessionId)).find((each) => each.id === id);
      if (found === undefined) throw new Error(`message ${id} is lost`);
      return found;
    });
  // The next message wakes the session.
  if (fault === "sleep") await ignored(() => api.change(sessionId, "hibernate"));
  if (fault === "backend") backend.refuseFor(REFUSAL_MS);
  await send();
  if (fault === "duplicate") await send();
  if (isKill || fault === "hibernate") {
    await waitFor("the turn", message, ({ status }) => status === "accepted" || status === "done", TIMEOUT_MS);
    // At a random point of the turn.
    await sleep(Math.random() * 2000);
    if (fault === "hibernate") await ignored(() => api.change(sessionId, "hibernate"));
    else if (isKill) valet.kill(fault, fault === "workerd" ? undefined : sessionId);
  }
  return waitFor("the message's end", message, ({ status }) => status === "done", TIMEOUT_MS);
}

/** Repeats a request until there is an answer, which may be a refusal. */
export async function again<T>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await ask();
    } catch (error) {
      const isAway = !(error instanceof ApiError) || error.status >= 500;
      if (!isAway || tries === MAX_TRIES) throw error;
      await sleep(TRY_AGAIN_MS);
    }
  }
}

/** Sends a request that may be refused. */
async function ignored(ask: () => Promise<unknown>): Promise<void> {
  await ask().catch(() => {});
}
