/** The conversation of a session: its messages and turns, what the agent asks, and the field to write to it. */
import { useQuery } from "@tanstack/react-query";
import { useRouter } from "@tanstack/react-router";
import { memo, useMemo, useRef } from "react";
import { nowQuery, sessionQuery } from "../api/sessions.ts";
import { useActions } from "../app/actions.ts";
import { announce } from "../app/announce.ts";
import { Kept, useKept } from "../app/kept.ts";
import { type Selection, selecting, without } from "../app/selection.ts";
import { Button } from "../ui/button.tsx";
import { ErrorNote, Loading } from "../ui/notes.tsx";
import { OutsideText, Sentence } from "../ui/outside-text.tsx";
import { StateMark } from "../ui/state.tsx";
import { Composer } from "./composer.tsx";
import { conversationActions } from "./conversation-keys.ts";
import { hasPage, pageHref } from "./page-link.tsx";
import type { Rest } from "./rests.ts";
import { RowList, type RowListHandle } from "./row-list.tsx";
import { type RowEvents, RowView } from "./row-view.tsx";
import { conversationRows, type Row } from "./rows.ts";
import { useAttachments } from "./use-attachments.ts";
import { useConversation } from "./use-conversation.ts";
import { useConversationNews } from "./use-conversation-news.ts";
import { useDrop } from "./use-drop.ts";
import "./conversation.css";

interface ConversationViewProps {
  readonly sessionId: string;
  readonly selection: Selection;
  /** When the sandbox slept: the same array as long as that is the same. */
  readonly rests: readonly Rest[];
  readonly onSelect: (selection: Selection) => void;
}

export const ConversationView = memo(function ConversationView({
  sessionId,
  selection,
  rests,
  onSelect,
}: ConversationViewProps) {
  const { state, store } = useConversation(sessionId);
  const session = useQuery(sessionQuery(sessionId)).data;
  const now = useQuery(nowQuery(sessionId)).data;
  const [chosen, setChosen] = useKept(FOLDS, sessionId, NO_FOLDS);
  const field = useRef<HTMLTextAreaElement>(null);
  const attachments = useAttachments(sessionId);
  const drop = useDrop((files) => {
    void attachments.add(files);
    field.current?.focus();
  });
  const list = useRef<RowListHandle>(null);
  const { conversation, gaps } = state;
  // What a link or the timeline has selected is unfolded, until a person folds it.
  const { message } = selection;
  const folds = useMemo(
    () => (message === undefined || chosen.has(message) ? chosen : new Map([...chosen, [message, true]])),
    [chosen, message],
  );
  const { permissions = NONE, questions = NONE } = session ?? {};
  const { channel } = selection;
  const hasOlder = state.older !== "none";
  const rows = useMemo(
    () =>
      conversationRows(conversation, {
        folds,
        channel,
        permissions,
        questions,
        gaps,
        rests,
        selected: message,
        hasOlder,
      }),
    [conversation, folds, channel, permissions, questions, gaps, rests, message, hasOlder],
  );
  const firstRequest = permissions[0]?.id ?? questions[0]?.id;
  useConversationNews(conversation);
  useActions(
    conversationActions({
      field: () => field.current,
      list: () => list.current,
      trace: useTraceOf(sessionId, conversation, message),
      request: () => firstRequest,
    }),
  );
  const latest = useRef({ selection, onSelect, setChosen });
  latest.current = { selection, onSelect, setChosen };
  const events = useMemo<RowEvents>(() => {
    const select = (jobId: string, span?: string) => {
      const { messages, workflows } = store.read().conversation;
      const trace = (messages.get(jobId) ?? workflows.get(jobId))?.traceId;
      const next = { message: jobId, ...(span !== undefined && { span }), ...(trace !== undefined && { trace }) };
      latest.current.onSelect(selecting(latest.current.selection, next));
    };
    return {
      onFold: (jobId, isOpen) => {
        latest.current.setChosen((before) => new Map([...before, [jobId, isOpen]]));
        select(jobId);
      },
      onFoldLife: (key, isOpen) => {
        latest.current.setChosen((before) => new Map([...before, [key, isOpen]]));
        // What is selected keeps its life open, and may be of this one.
        if (!isOpen) latest.current.onSelect(selecting(latest.current.selection, {}));
      },
      onSelectSpan: select,
      onReadOutput: (jobId) => void store.readWorkflow(jobId),
      onReadGap: (jobId) => void store.loadGap(jobId),
    };
  }, [store]);
  const saidMissing = useRef<string>(undefined);
  const onMissing = (id: string) => {
    if (saidMissing.current === id) return;
    void store.find(id).then((isThere) => {
      if (isThere !== false || saidMissing.current === id) return;
      saidMissing.current = id;
      announce("The session has no message with the id of this link.", { isBad: true });
    });
  };
  const renderRow = (row: Row) => (
    <RowView
      row={row}
      sessionId={sessionId}
      selection={selection}
      isFirstRequest={"request" in row && row.request.id === firstRequest}
      events={events}
    />
  );
  return (
    <section className="talk" aria-label="Conversation" {...drop.handlers} data-drop={drop.isOver || undefined}>
      {selection.channel !== undefined && (
        <p className="talk-channel">
          <span className="grow">
            Only the channel{" "}
            <b>
              # <OutsideText text={selection.channel} max={128} />
            </b>
          </span>
          <Button look="quiet" onClick={() => onSelect({ ...without(selection, "channel") })}>
            Show all
          </Button>
        </p>
      )}
      {!state.isLoaded && state.error === undefined && (
        <div className="px-4 py-3">
          <Loading what="the conversation" rows={10} height={2} />
        </div>
      )}
      {!state.isLoaded && state.error !== undefined && (
        <div className="p-4">
          <ErrorNote what="The conversation could not be read." error={state.error} onRetry={() => void store.load()} />
        </div>
      )}
      {state.isLoaded && rows.length === 0 && <NothingYet channel={selection.channel} />}
      {state.isLoaded && rows.length > 0 && (
        <RowList
          key={`${sessionId} ${selection.channel ?? ""}`}
          place={`${sessionId} ${selection.channel ?? ""}`}
          handle={list}
          rows={rows}
          selected={message}
          older={state.older}
          onOlder={() => void store.loadOlder()}
          onMissing={onMissing}
        >
          {renderRow}
        </RowList>
      )}
      {now !== undefined && NEEDS_HELP.includes(now.verdict.state) && (
        <p className="talk-step">
          <StateMark state={now.verdict.state} />
          <Sentence text={now.verdict.nextStep} />
        </p>
      )}
      {session !== undefined && (
        <Composer
          key={sessionId}
          session={session}
          channels={channelsOf(conversation, selection.channel)}
          isBusy={(now?.running.length ?? 0) > 0}
          attachments={attachments}
          field={field}
          onSent={() => {
            void store.readAgain();
            list.current?.toEnd();
          }}
        />
      )}
    </section>
  );
});

const NONE: readonly never[] = [];
/** What a person unfolded (`true`) or folded, by session. */
const FOLDS = new Kept<ReadonlyMap<string, boolean>>();
const NO_FOLDS: ReadonlyMap<string, boolean> = new Map();

/** States in which a person has to do something; a question says so itself. */
const NEEDS_HELP: readonly string[] = ["quiet", "stuck", "failed"];

function NothingYet({ channel }: { readonly channel: string | undefined }) {
  return (
    <div className="talk-empty">
      <h2>{channel === undefined ? "Nothing has been said yet" : "Nothing in this channel"}</h2>
      <p className="m2">
        Write what the agent should do. It works in a sandbox of its own, and its answer appears here word by word.
      </p>
    </div>
  );
}

const TRACE_PAGE = "/sessions/$sessionId/traces/$traceId";

/** Opens the trace of the selected message, or else of the newest. */
function useTraceOf(
  sessionId: string,
  { messages, workflows, order }: Parameters<typeof conversationRows>[0],
  selected: string | undefined,
): () => (() => void) | undefined {
  const router = useRouter();
  return () => {
    const id = selected ?? order.at(-1);
    const traceId = id === undefined ? undefined : (messages.get(id) ?? workflows.get(id))?.traceId;
    if (traceId === undefined || !hasPage(router, TRACE_PAGE)) return undefined;
    return () => router.history.push(pageHref(TRACE_PAGE, { sessionId, traceId }, {}));
  };
}

/** Returns the channels that there are, the one to write to first: the selected one, or else that of the newest message. */
function channelsOf(conversation: Parameters<typeof conversationRows>[0], selected: string | undefined): string[] {
  const { order, messages } = conversation;
  const newestFirst = order.toReversed().flatMap((id) => messages.get(id)?.channel ?? []);
  return [...new Set([...(selected === undefined ? [] : [selected]), ...newestFirst])].slice(0, 50);
}
