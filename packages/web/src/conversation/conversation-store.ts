/**
 * The conversation of one session, kept up to date: it reads the newest messages first, older ones on demand, and follows the live
 * events. What an event lacks is read from the API. Events that come together are shown together.
 */
import { Reread } from "../api/reread.ts";
import type { SessionEvent } from "../api/session-events.ts";
import {
  type Conversation,
  EMPTY_CONVERSATION,
  type Message,
  type Turn,
  type Workflow,
  withAnswers,
  withEvents,
} from "./conversation.ts";
import { afterRun, type Gaps, inState, NO_GAPS } from "./gaps.ts";

export interface ConversationApi {
  /** A page of messages, the newest first. @param place where it begins: `nextCursor` of a page, or the id of a message */
  messages(place?: MessagePlace): Promise<{ messages: Message[]; nextCursor?: string }>;
  /** A message; `undefined` if the session has none with this id. */
  message(id: string): Promise<Message | undefined>;
  workflows(): Promise<Workflow[]>;
  workflow(id: string): Promise<Workflow>;
  /** The newest turns, those that ended last first. @param period only those that ended in it, ISO 8601 */
  turns(period?: { readonly from: string; readonly to?: string }): Promise<Turn[]>;
}

/** Where a page of messages begins. `order` is that of its messages: the oldest first, or the newest. */
export type MessagePlace = { readonly cursor: string } | { readonly from: string; readonly order: "asc" | "desc" };

export interface ConversationState {
  readonly conversation: Conversation;
  /** Whether the newest messages are there. */
  readonly isLoaded: boolean;
  /** Why they could not be read, the last time. */
  readonly error: unknown;
  readonly older: "none" | "more" | "loading" | "failed";
  /** Where messages between others are missing. */
  readonly gaps: Gaps;
}

/** After a break, pages are read until one has nothing new, and at most so many: who was away for longer loads older ones. */
const MAX_CAUGHT_UP_PAGES = 10;
export class ConversationStore {
  readonly #api: ConversationApi;
  /** Runs a function soon, for example with the next frame. */
  readonly #soon: (run: () => void) => void;
  readonly #listeners = new Set<() => void>();
  readonly #again = new Reread(() => void this.load());
  #heard: SessionEvent[] = [];
  #state: ConversationState = {
    conversation: EMPTY_CONVERSATION,
    isLoaded: false,
    error: undefined,
    older: "none",
    gaps: NO_GAPS,
  };
  #olderCursor: string | undefined;
  #isReading = false;
  #mustReadOn = false;
  #isReadingAgain = false;
  #isFinding = false;

  constructor(api: ConversationApi, soon: (run: () => void) => void = (run) => setTimeout(run, 16)) {
    this.#api = api;
    this.#soon = soon;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
      // Whoever comes back reads anew.
      if (this.#listeners.size === 0) this.#again.succeeded();
    };
  };

  readonly read = (): ConversationState => this.#state;

  hear(event: SessionEvent): void {
    // What happened before the socket was open, or while it was down, is told by no event.
    if (event.type === "opened") void this.load();
    if (this.#heard.length === 0) this.#soon(() => this.#flush());
    this.#heard.push(event);
  }

  /** Reads for the first time, unless the socket was open already and has begun it. */
  start(): void {
    if (!this.#isReading) void this.load();
  }

  /** Reads the newest messages, all workflows and the newest turns: at first, and after a break. While it does, it notes to do so again. */
  async load(): Promise<void> {
    if (this.#isReading) {
      this.#mustReadOn = true;
      return;
    }
    this.#isReading = true;
    try {
      const [, workflows, turns] = await Promise.all([this.#newest(), this.#api.workflows(), this.#api.turns()]);
      this.#add({ workflows, turns }, { isLoaded: true, error: undefined });
      this.#again.succeeded();
    } catch (error) {
      this.#change({ error });
      if (this.#state.isLoaded && this.#listeners.size > 0) this.#again.failed(error);
    } finally {
      this.#isReading = false;
    }
    if (!this.#mustReadOn) return;
    this.#mustReadOn = false;
    await this.load();
  }

  /** Reads the page of messages before the oldest one. */
  async loadOlder(): Promise<void> {
    const { older, isLoaded } = this.#state;
    if (!isLoaded || this.#olderCursor === undefined || older === "loading") return;
    this.#change({ older: "loading" });
    try {
      const { messages, nextCursor } = await this.#api.messages({ cursor: this.#olderCursor });
      const turns = await this.#turnsOf(messages.toReversed());
      this.#olderCursor = nextCursor;
      this.#add({ messages, turns }, { older: this.#olderState() });
    } catch {
      this.#change({ older: "failed" });
    }
  }

  /**
   * Reads a message that is not there, for example that of a link, with what is around it.
   * @returns whether the session has it; `undefined` if it could not be read, or is being read
   */
  async find(id: string): Promise<boolean | undefined> {
    const { conversation } = this.#state;
    if (conversation.messages.has(id) || conversation.workflows.has(id)) return true;
    if (this.#isFinding) return undefined;
    this.#isFinding = true;
    try {
      if ((await this.#api.message(id)) === undefined) return false;
      const [newer, older] = await Promise.all([
        this.#api.messages({ from: id, order: "asc" }),
        this.#api.messages({ from: id, order: "desc" }),
      ]);
      const run = [...older.messages.slice(1).toReversed(), ...newer.messages];
      const turns = await this.#turnsOf(run);
      // The state of now: what has come since the beginning counts.
      const known = [...this.#state.conversation.messages.values()];
      const oldest = run[0]?.acceptedAt ?? "";
      if (known.every(({ acceptedAt }) => oldest < acceptedAt)) this.#olderCursor = older.nextCursor;
      this.#addRun(run, turns, newer.nextCursor);
      return true;
    } catch {
      return undefined;
    } finally {
      this.#isFinding = false;
    }
  }

  /** Reads on in a gap. @param id of the message that it follows */
  async loadGap(id: string): Promise<void> {
    const gap = this.#state.gaps.get(id);
    if (gap === undefined || gap.state === "loading") return;
    this.#change({ gaps: inState(this.#state.gaps, id, "loading") });
    try {
      const { messages, nextCursor } = await this.#api.messages({ cursor: gap.cursor });
      const turns = await this.#turnsOf(messages);
      const edge = this.#state.conversation.messages.get(id);
      this.#addRun(edge === undefined ? messages : [edge, ...messages], turns, nextCursor);
    } catch {
      this.#change({ gaps: inState(this.#state.gaps, id, "failed") });
    }
  }

  /** Reads the newest messages again, of which something was missed. */
  async readAgain(): Promise<void> {
    if (this.#isReadingAgain) return;
    this.#isReadingAgain = true;
    try {
      this.#add({ messages: (await this.#api.messages()).messages });
    } catch {
      // What is missing comes with the next whole part, or after the next break.
    } finally {
      this.#isReadingAgain = false;
    }
  }

  /** Reads a workflow with the output of its steps. */
  async readWorkflow(id: string): Promise<void> {
    try {
      this.#add({ workflows: [await this.#api.workflow(id)] });
    } catch {
      // It is read again when a step is opened again.
    }
  }

  async #newest(): Promise<void> {
    let cursor: string | undefined;
    for (let page = 0; page < MAX_CAUGHT_UP_PAGES; page++) {
      const { messages, nextCursor } = await this.#api.messages(cursor === undefined ? undefined : { cursor });
      const known = this.#state.conversation.messages;
      const isFirstTime = known.size === 0;
      const meets = messages.some(({ id, status }) => known.get(id)?.status === "done" && status === "done");
      this.#add({ messages });
      cursor = nextCursor;
      if (isFirstTime || !this.#state.isLoaded) {
        this.#olderCursor = nextCursor;
        this.#change({ older: this.#olderState() });
        return;
      }
      if (meets || nextCursor === undefined) return;
    }
    // What lies between is read as older pages.
    this.#olderCursor = cursor;
    this.#change({ older: this.#olderState() });
  }

  /** Adds messages that follow one another, the oldest first. */
  #addRun(run: readonly Message[], turns: readonly Turn[], cursor: string | undefined): void {
    const { conversation, gaps } = this.#state;
    const ids = run.map(({ id }) => id);
    const next = afterRun(gaps, ids, (id) => conversation.messages.has(id), cursor);
    this.#add({ messages: run, turns }, { gaps: next, older: this.#olderState() });
  }

  /** Returns the turns of messages that follow one another, the oldest first. */
  async #turnsOf(run: readonly Message[]): Promise<Turn[]> {
    const [first, last] = [run[0], run.at(-1)];
    if (first === undefined || last === undefined) return [];
    const to = last.endedAt === undefined ? undefined : new Date(Date.parse(last.endedAt) + 1).toISOString();
    return await this.#api.turns({ from: first.acceptedAt, ...(to !== undefined && { to }) });
  }

  #olderState(): ConversationState["older"] {
    return this.#olderCursor === undefined ? "none" : "more";
  }

  #flush(): void {
    const events = this.#heard;
    this.#heard = [];
    const { conversation, missed } = withEvents(this.#state.conversation, events);
    this.#change({ conversation });
    if (this.#state.isLoaded && missed.length > 0) void this.readAgain();
  }

  #add(answers: Parameters<typeof withAnswers>[1], more: Partial<ConversationState> = {}): void {
    this.#change({ conversation: withAnswers(this.#state.conversation, answers), ...more });
  }

  #change(change: Partial<ConversationState>): void {
    this.#state = { ...this.#state, ...change };
    for (const listener of this.#listeners) listener();
  }
}
