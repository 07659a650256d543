/**
 * The conversation of one session, kept up to date: it reads the newest messages first, older ones on demand, and follows the live
 * events. What an event lacks is read from the API. Events that come together are shown together.
 */
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

export interface ConversationApi {
  /** A page of messages, the newest first. */
  messages(cursor: string | undefined): Promise<{ messages: Message[]; nextCursor?: string }>;
  workflows(): Promise<Workflow[]>;
  workflow(id: string): Promise<Workflow>;
  /** A page of turns, those that ended last first. */
  turns(cursor: string | undefined): Promise<{ turns: Turn[]; nextCursor?: string }>;
}

export interface ConversationState {
  readonly conversation: Conversation;
  /** Whether the newest messages are there. */
  readonly isLoaded: boolean;
  /** Why they could not be read, the last time. */
  readonly error: unknown;
  readonly older: "none" | "more" | "loading" | "failed";
}

/** After a break, pages are read until one has nothing new, and at most so many: who was away for longer loads older ones. */
const MAX_CAUGHT_UP_PAGES = 10;
/** So many pages are searched for a message: ten thousand messages. */
const MAX_SEARCHED_PAGES = 200;

export class ConversationStore {
  readonly #api: ConversationApi;
  /** Runs a function soon, for example with the next frame. */
  readonly #soon: (run: () => void) => void;
  readonly #listeners = new Set<() => void>();
  #heard: SessionEvent[] = [];
  #state: ConversationState = { conversation: EMPTY_CONVERSATION, isLoaded: false, error: undefined, older: "none" };
  #olderCursor: string | undefined;
  #turnsCursor: string | undefined;
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
    return () => this.#listeners.delete(listener);
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
      const [, workflows, turns] = await Promise.all([
        this.#newest(),
        this.#api.workflows(),
        this.#api.turns(undefined),
      ]);
      this.#turnsCursor ??= turns.nextCursor;
      this.#add({ workflows, turns: turns.turns }, { isLoaded: true, error: undefined });
    } catch (error) {
      this.#change({ error });
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
      const cursor = this.#turnsCursor;
      const [page, turns] = await Promise.all([
        this.#api.messages(this.#olderCursor),
        cursor === undefined ? undefined : this.#api.turns(cursor),
      ]);
      this.#olderCursor = page.nextCursor;
      this.#turnsCursor = turns?.nextCursor;
      this.#add({ messages: page.messages, turns: turns?.turns ?? [] }, { older: this.#olderState() });
    } catch {
      this.#change({ older: "failed" });
    }
  }

  /** Reads older pages until they have a message, for example that of a link. */
  async find(id: string): Promise<void> {
    if (this.#isFinding) return;
    this.#isFinding = true;
    const isKnown = () => this.#state.conversation.order.includes(id);
    for (let page = 0; page < MAX_SEARCHED_PAGES && !isKnown() && this.#state.older === "more"; page++) {
      await this.loadOlder();
    }
    this.#isFinding = false;
  }

  /** Reads the newest messages again, of which something was missed. */
  async readAgain(): Promise<void> {
    if (this.#isReadingAgain) return;
    this.#isReadingAgain = true;
    try {
      this.#add({ messages: (await this.#api.messages(undefined)).messages });
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
      const { messages, nextCursor } = await this.#api.messages(cursor);
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
