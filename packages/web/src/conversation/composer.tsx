/** Where a person writes to the agent. */
import { useMutation, useMutationState, useQueryClient } from "@tanstack/react-query";
import { MAX_CONTENT_LENGTH } from "@valet/shared/protocol/message-limits";
import { type ClipboardEvent, type FormEvent, type KeyboardEvent, type RefObject, useRef, useState } from "react";
import { newMessageId, sendMessage } from "../api/changes.ts";
import type { Schemas } from "../api/client.ts";
import { errorSentence, isPassing } from "../api/problem.ts";
import { type ContentIds, contentIds } from "../api/use-content-ids.ts";
import { useActions } from "../app/actions.ts";
import { announce } from "../app/announce.ts";
import { Kept, useKeptNow } from "../app/kept.ts";
import { Button, IconButton, Segments } from "../ui/button.tsx";
import { Sentence } from "../ui/outside-text.tsx";
import { AttachmentList } from "./attachment-list.tsx";
import { type AttachedFile, bodyOf, sizeProblem } from "./attachments.ts";
import { ChannelChoice, Choice } from "./composer-choices.tsx";
import { failureWords, MAIN_CHANNEL, placeholderOf } from "./composer-words.ts";
import type { useAttachments } from "./use-attachments.ts";
import { clearSentDraft, useDraft } from "./use-draft.ts";

type Mode = NonNullable<Schemas["SendMessage"]["queueMode"]>;

const MODES: readonly (readonly [Mode, string])[] = [
  ["followup", "After this turn"],
  ["steer", "Steer now"],
  ["collect", "Collect"],
];

/** What a message is sent with, as far as its writer has chosen it. */
interface Choices {
  readonly mode?: Mode;
  readonly channel?: string;
  readonly model?: string;
  /** Where it was sent without a chosen channel: the newest may be another one when it is sent again. */
  readonly sentTo?: string | undefined;
}

/** The choices are kept as the draft is: a message that is sent again is the same only with the same choices. */
const CHOICES = new Kept<Choices>("draft");
const NO_CHOICES: Choices = {};

interface ComposerProps {
  readonly session: Schemas["SessionView"];
  /** The channels that there are; the first is the one that a message goes to. */
  readonly channels: readonly string[];
  readonly isBusy: boolean;
  readonly attachments: ReturnType<typeof useAttachments>;
  readonly field: RefObject<HTMLTextAreaElement | null>;
  /** The message has arrived. */
  readonly onSent: () => void;
}

export function Composer({ session, channels, isBusy, attachments, field, onSent }: ComposerProps) {
  const [text, setText] = useDraft(session.id);
  const choices = useKeptNow(CHOICES, session.id, NO_CHOICES);
  const choose = (more: Choices) => CHOICES.set(session.id, { ...CHOICES.get(session.id), ...more });
  const { mode = session.queueMode, model } = choices;
  const [isNaming, setNaming] = useState(false);
  const picker = useRef<HTMLInputElement>(null);
  const target = choices.channel ?? choices.sentTo ?? channels[0];
  const { files } = attachments;
  const tooLarge = sizeProblem(text, files);
  const body = {
    content: text,
    queueMode: mode,
    ...(target !== undefined && { channel: target }),
    ...(model !== undefined && { model }),
    ...(files.length > 0 && { attachments: bodyOf(files) }),
  };
  const ids = idsOf(session.id);
  const queryClient = useQueryClient();
  const mutationKey = ["message", session.id];
  const { mutate } = useMutation({
    mutationKey,
    mutationFn: ({ message }: { readonly message: typeof body; readonly sent: readonly AttachedFile[] }) =>
      sendMessage(session.id, { ...message, id: ids.of(message) }),
    onSuccess: (_accepted, { message: { content }, sent }) => {
      ids.forget();
      choose({ sentTo: undefined });
      attachments.clear(sent);
      clearSentDraft(session.id, content);
      announce("Sent.");
      onSent();
    },
    meta: { showsErrors: true },
  });
  // Of this composer, or of one before its writer looked at another page.
  const last = useMutationState({ filters: { mutationKey }, select: ({ state }) => state }).at(-1);
  const [isSending, hasFailed] = [last?.status === "pending", last?.status === "error"];
  const failure = failureWords(last?.error, files.length > 0);
  const isOver = session.status === "terminated" || session.status === "terminating" || session.deletion !== undefined;
  const submit = (event?: FormEvent) => {
    event?.preventDefault();
    if (text.trim() === "" && files.length > 0)
      announce("Write what the agent should do with the files.", { isShown: true });
    else if (text.trim() !== "" && tooLarge === undefined && queryClient.isMutating({ mutationKey }) === 0 && !isOver) {
      choose({ sentTo: target });
      mutate({ message: body, sent: files });
    }
  };
  const onKeyDown = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
    else if (event.key === "Escape") field.current?.closest("main")?.focus({ preventScroll: true });
  };
  const onPaste = (event: ClipboardEvent) => {
    // A text that is copied together with its picture, as office programs do, is pasted as text.
    const pasted = [...event.clipboardData.files];
    if (pasted.length === 0 || event.clipboardData.types.includes("text/plain")) return;
    event.preventDefault();
    void attachments.add(pasted);
  };
  useActions([
    { label: "Attach files…", group: "Session", applies: () => !isOver, run: () => picker.current?.click() },
    { label: "Write to a new channel…", group: "Session", applies: () => !isOver, run: () => setNaming(true) },
    ...MODES.map(([value, label]) => ({
      label: `Send the next message: ${label.toLowerCase()}`,
      group: "Session",
      applies: () => !isOver && mode !== value,
      run: () => choose({ mode: value }),
    })),
  ]);
  if (isOver) {
    return <p className="composer m2">The session has ended: it can be read, and takes no more messages.</p>;
  }
  return (
    <form className="composer" aria-label="Message" onSubmit={submit}>
      <textarea
        ref={field}
        className="field"
        aria-label="Message"
        placeholder={placeholderOf(session, isBusy, mode)}
        maxLength={MAX_CONTENT_LENGTH}
        rows={Math.min(8, Math.max(1, text.split("\n").length))}
        dir="auto"
        aria-invalid={hasFailed || undefined}
        aria-describedby={hasFailed ? "composer-error" : undefined}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
        onPaste={onPaste}
      />
      <AttachmentList files={files} problems={attachments.problems} onRemove={attachments.remove} />
      {tooLarge !== undefined && (
        <p className="field-error" role="alert">
          {tooLarge}
        </p>
      )}
      {hasFailed && (
        <p id="composer-error" className="field-error" role="alert">
          {failure.before}
          <Sentence text={errorSentence(last?.error)} /> {failure.after}
        </p>
      )}
      <div className="line">
        <Segments label="When" value={mode} options={MODES} onChange={(value) => choose({ mode: value })} />
        <ChannelChoice
          value={target ?? MAIN_CHANNEL}
          channels={channelsWith(channels, target)}
          isNaming={isNaming}
          onNaming={setNaming}
          onChange={(name) => {
            choose({ channel: name });
            field.current?.focus();
          }}
        />
        {session.models.length > 1 && (
          <Choice
            label="Model"
            value={model ?? session.models[0] ?? ""}
            choices={session.models}
            onChange={(name) => choose({ model: name })}
          />
        )}
        <input
          ref={picker}
          type="file"
          multiple
          hidden
          aria-label="Files to attach"
          onChange={(event) => {
            void attachments.add([...(event.target.files ?? [])]);
            // The same file may be chosen again.
            event.target.value = "";
          }}
        />
        <span className="composer-send">
          <IconButton look="normal" icon="attach" label="Attach files" onClick={() => picker.current?.click()} />
          <Button
            look="primary"
            type="submit"
            isBusy={isSending}
            hint="Ctrl ⏎"
            aria-keyshortcuts="Control+Enter"
            disabled={text.trim() === "" || tooLarge !== undefined}
          >
            {isSending ? "Sending…" : hasFailed && isPassing(last?.error) ? "Send again" : "Send"}
          </Button>
        </span>
      </div>
    </form>
  );
}

/**
 * A message that was sent keeps its id until it arrives, its writer signs out, or the page is reloaded, so that it arrives once if it is
 * sent again.
 */
const IDS = new Kept<ContentIds<object>>("draft");

function idsOf(sessionId: string): ContentIds<object> {
  const ids = IDS.get(sessionId) ?? contentIds<object>(newMessageId);
  IDS.set(sessionId, ids);
  return ids;
}

/** The channels to choose from: with one that is new, or with the one that a first message goes to. */
function channelsWith(channels: readonly string[], target: string = MAIN_CHANNEL): string[] {
  return channels.includes(target) ? [...channels] : [target, ...channels];
}
