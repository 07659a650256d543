/** The dialog that creates a session. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type ComponentProps, type FormEvent, useId, useState } from "react";
import { createSession, newSessionId } from "../../api/changes.ts";
import type { Schemas } from "../../api/client.ts";
import { ApiError, errorSentence, mayBeDone } from "../../api/problem.ts";
import { useContentIds } from "../../api/use-content-ids.ts";
import { Button } from "../../ui/button.tsx";
import { Dialog } from "../../ui/dialog.tsx";
import { Input, TextArea } from "../../ui/field.tsx";
import { Notice } from "../../ui/notes.tsx";
import { Sentence } from "../../ui/outside-text.tsx";
import { choicesOf } from "./inbox-groups.ts";
import type { SessionDraft } from "./session-draft.ts";

const FIELDS = ["repoUrl", "branch", "model", "title", "prompt"] as const;
type FieldName = (typeof FIELDS)[number];
type Values = Readonly<Record<FieldName, string>>;

type AskedKind = NonNullable<Schemas["CreateSession"]["askBefore"]>[number];
/** What the agent can be told to ask for, in words. */
const ASKED: readonly (readonly [kind: AskedKind, words: string])[] = [
  ["commands", "it runs a command"],
  ["edits", "it changes a file"],
  ["web", "it reads a web page"],
];

const EMPTY: Values = { repoUrl: "", branch: "", model: "", title: "", prompt: "" };

interface NewSessionProps {
  /** What the fields hold at first. */
  readonly initial: SessionDraft;
  /** The sessions that there are: their repositories and models are offered. */
  readonly sessions: readonly Schemas["SessionView"][];
  readonly onClose: () => void;
}

export default function NewSession({ initial, sessions, onClose }: NewSessionProps) {
  const [values, setValues] = useState<Values>({ ...EMPTY, ...initial });
  const [asked, setAsked] = useState<readonly AskedKind[]>([]);
  const ids = useContentIds<Schemas["CreateSession"]>(newSessionId);
  const navigate = useNavigate();
  const queryClient = useQueryClient();
  const create = useMutation({
    mutationFn: (body: Schemas["CreateSession"]) => createSession({ ...body, id: ids.of(body) }),
    onSuccess: async ({ id }) => {
      void queryClient.invalidateQueries({ queryKey: ["sessions", "list"] });
      onClose();
      await navigate({ to: "/sessions/$sessionId", params: { sessionId: id } });
    },
    meta: { showsErrors: true },
  });
  const { error } = create;
  const fields = error instanceof ApiError ? error.fields : new Map<string, string>();
  const isBesideFields = FIELDS.some((field) => fields.has(field));
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!create.isPending) create.mutate({ ...filled(values), ...(asked.length > 0 && { askBefore: [...asked] }) });
  };
  const field = (name: FieldName) => ({
    value: values[name],
    error: sentence(fields.get(name)),
    onChange: (event: { target: { value: string } }) => setValues({ ...values, [name]: event.target.value }),
  });
  return (
    <Dialog isOpen onClose={onClose} title="New session">
      <form className="fields" onSubmit={submit} noValidate>
        <Offering
          label="Repository"
          placeholder="https://github.com/acme/shop.git"
          note="Its https or ssh URL. Without one, the agent starts in an empty workspace."
          autoFocus
          choices={choicesOf(sessions, "repoUrl")}
          {...field("repoUrl")}
        />
        <Input label="Branch" placeholder="the repository's default" spellCheck={false} {...field("branch")} />
        <Offering
          label="Model"
          placeholder="the deployment's default"
          note="As provider/model."
          choices={choicesOf(sessions, "model")}
          {...field("model")}
        />
        <Input label="Title" placeholder="optional" maxLength={200} {...field("title")} />
        <TextArea label="First message" rows={4} {...field("prompt")} />
        <fieldset className="labelled">
          <legend>The agent asks a person before</legend>
          <div className="flex flex-wrap gap-x-4">
            {ASKED.map(([kind, words]) => (
              <label key={kind} className="flex min-h-6 items-center gap-2">
                <input
                  type="checkbox"
                  checked={asked.includes(kind)}
                  onChange={({ target }) =>
                    setAsked(
                      ASKED.map(([each]) => each).filter((each) =>
                        each === kind ? target.checked : asked.includes(each),
                      ),
                    )
                  }
                />
                {words}
              </label>
            ))}
          </div>
          <span className="field-note">Unless you choose any, it asks for nothing: its sandbox is the boundary.</span>
        </fieldset>
        {error !== null && !isBesideFields && (
          <Notice icon="failed" isBad>
            <span role="alert">
              {!mayBeDone(error) && <b>The session was not created. </b>}
              <Sentence text={errorSentence(error)} />
              {mayBeDone(error) && " The session may have been created. Create it again unchanged: it is created once."}
            </span>
          </Notice>
        )}
        <div className="flex gap-2">
          <Button look="primary" type="submit" isBusy={create.isPending}>
            {create.isPending ? "Creating…" : "Create"}
          </Button>
          <Button look="quiet" onClick={onClose}>
            Cancel
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** A field that offers values, and takes others. */
function Offering({ choices, ...rest }: { readonly choices: readonly string[] } & ComponentProps<typeof Input>) {
  const id = useId();
  return (
    <>
      <Input list={id} spellCheck={false} autoComplete="off" {...rest} />
      <datalist id={id}>
        {choices.map((choice) => (
          <option key={choice} value={choice} />
        ))}
      </datalist>
    </>
  );
}

/** Returns what is to be created: fields that were left empty are the server's to choose. */
function filled(values: Values): Schemas["CreateSession"] {
  const entries = FIELDS.map((name) => [name, name === "prompt" ? values[name] : values[name].trim()] as const);
  return Object.fromEntries(entries.filter(([, value]) => value.trim() !== ""));
}

/** Returns the API's remark on a field as a sentence. */
function sentence(message: string | undefined): string | undefined {
  if (message === undefined) return undefined;
  const text = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
