/** What one turn changed: its commits, its files, and their diffs. */

import { useQueries, useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { parsePatch } from "@valet/shared/patch";
import { pathText } from "@valet/shared/path-text";
import { CHANGES_UNKNOWN_MEANINGS } from "@valet/shared/spans/meanings";
import { useMemo, useState } from "react";
import type { Schemas } from "../../api/client.ts";
import { filePatchQuery } from "../../api/diff.ts";
import { messageQuery } from "../../api/messages.ts";
import { firstLine } from "../../format/first-line.ts";
import { Time } from "../../ui/age.tsx";
import { Button } from "../../ui/button.tsx";
import { Change, Count } from "../../ui/figure.tsx";
import { Icon } from "../../ui/icons.tsx";
import { CopyButton, ErrorNote, Loading } from "../../ui/notes.tsx";
import { OutsideText } from "../../ui/outside-text.tsx";
import { countOfCommit, filesOfCommit, namesMissing } from "./commit-files.ts";
import { shownLine } from "./diff-chunks.ts";
import { FileDiff } from "./file-diff.tsx";
import { modeWords } from "./mode-words.ts";
import { WritingCalls } from "./writing-calls.tsx";

type Turn = Schemas["TurnChangesView"];
type Message = Schemas["MessageView"];

interface TurnChangesProps {
  readonly sessionId: string;
  readonly turn: Turn;
  /** Those of the turn's messages that are among the newest of the session. */
  readonly recent: readonly Message[];
  /** The workflow whose execution it is, if it is one of the newest. */
  readonly workflow: Schemas["WorkflowView"] | undefined;
  /** Whether it is unfolded at first. */
  readonly isOpenFirst: boolean;
}

const route = getRouteApi("/sessions/$sessionId/changes");
/** The most files that are listed at once; the others come by a button. */
const MAX_FILES = 100;

export function TurnChanges({ sessionId, turn, recent, workflow, isOpenFirst }: TurnChangesProps) {
  const { file: opened, commit: chosen } = route.useSearch();
  const commit = turn.commit_list.find(({ id }) => id === chosen);
  const [isOpen, setOpen] = useState(
    isOpenFirst || commit !== undefined || turn.files.some(({ path }) => path === opened),
  );
  const [isWhole, setWhole] = useState(false);
  const all = commit === undefined ? turn.files : filesOfCommit(commit, turn.files);
  const files = isWhole ? all : all.filter(({ path }, index) => index < MAX_FILES || path === opened);
  const { messages, isLoading } = useMessages(sessionId, turn, recent, isOpen);
  const [message] = messages;
  const named = workflow === undefined ? firstLine(message?.content ?? "") : `Workflow ${workflow.name}`;
  const title = named || turn.message_ids.join(", ");
  return (
    <section className="changes-turn" aria-label={`Turn ${title.slice(0, 100)}`}>
      <header>
        <Button
          look="quiet"
          className="sq"
          aria-expanded={isOpen}
          aria-label="The files of this turn"
          onClick={() => setOpen(!isOpen)}
        >
          <Icon name={isOpen ? "down" : "right"} />
        </Button>
        <h3 className="cut">
          <Link
            to="/sessions/$sessionId"
            params={{ sessionId }}
            search={turn.message_ids[0] === undefined ? {} : { message: turn.message_ids[0] }}
          >
            <OutsideText text={title} max={200} />
          </Link>
        </h3>
        <span className="m small">
          <Time at={turn.ended_at} />
        </span>
        <span className="grow" />
        {turn.unknown === null && turn.files_changed === 0 ? (
          <span className="small m">no file</span>
        ) : turn.unknown === null ? (
          <span className="small">
            <Count count={turn.files_changed} /> {turn.files_changed === 1 ? "file" : "files"}{" "}
            <Change added={turn.lines_added} removed={turn.lines_removed} />
          </span>
        ) : (
          <span className="small t-failed">unknown</span>
        )}
      </header>
      {isOpen && (
        <>
          <About turn={turn} />
          {commit !== undefined && (
            <CommitNote id={commit.id} count={countOfCommit(commit, all)} missing={namesMissing(commit, all)} />
          )}
          <ul>
            {files.map((file) => (
              <FileRow
                // With a commit, its files are unfolded: their diffs are what was asked for.
                key={`${commit?.id ?? ""} ${file.path}`}
                isOpenFirst={commit !== undefined && all.length <= MAX_UNFOLDED}
                sessionId={sessionId}
                turn={turn}
                file={file}
                messages={isLoading ? undefined : messages}
              />
            ))}
          </ul>
          {files.length < all.length && (
            <p className="about">
              <Button onClick={() => setWhole(true)}>Show the other {all.length - files.length} files</Button>
            </p>
          )}
          {commit === undefined && turn.files_changed !== null && turn.files_changed > turn.files.length && (
            <p className="about m2">
              {turn.files_changed - turn.files.length} more files changed; their names are not stored.
            </p>
          )}
        </>
      )}
    </section>
  );
}

/** The most files of a commit that are unfolded by themselves. */
const MAX_UNFOLDED = 20;

/** How many messages of a turn are read: a turn of the mode `collect` has many. */
const MAX_READ = 20;

/** Returns the turn's messages. Those of older turns are read once it is unfolded. */
function useMessages(sessionId: string, turn: Turn, recent: readonly Message[], isWanted: boolean) {
  const missing = turn.message_ids.filter((id) => !recent.some((message) => message.id === id)).slice(0, MAX_READ);
  return useQueries({
    queries: missing.map((id) => ({ ...messageQuery(sessionId, id), enabled: isWanted })),
    combine: (found) => ({
      messages: [...recent, ...found.flatMap(({ data }) => data ?? [])],
      isLoading: found.some(({ isLoading }) => isLoading),
    }),
  });
}

const PATCH_NOTES: Readonly<Partial<Record<Turn["patch"], string>>> = {
  cut: "The patch is cut at the limit of a turn: the last files have none.",
  dropped: "The patch is not stored any more: the session's patches exceeded their limit.",
};

function About({ turn }: { readonly turn: Turn }) {
  const { unknown, shared_with, commit_list, commits, head_branch } = turn;
  const note = PATCH_NOTES[turn.patch];
  return (
    <div className="about small m2">
      {unknown !== null && <p>What this turn changed is unknown: {CHANGES_UNKNOWN_MEANINGS[unknown]}.</p>}
      {shared_with.length > 0 && (
        <p>
          Work that ran at the same time, or since the last known state, may be in these changes, too:{" "}
          <OutsideText text={shared_with.join(", ")} className="mono" />
        </p>
      )}
      {note !== undefined && <p>{note}</p>}
      {unknown === null && turn.files.length === 0 && <p>This turn changed no file.</p>}
      {commit_list.length > 0 && (
        <ul aria-label="Commits">
          {commit_list.map((commit) => (
            <li key={commit.id}>
              <Icon name="branch" />{" "}
              <CommitName id={commit.id} subject={commit.subject} files={countOfCommit(commit, turn.files)} />
              {head_branch !== null && (
                <span className="m">
                  {" "}
                  on <OutsideText text={head_branch} className="mono" max={100} />
                </span>
              )}
            </li>
          ))}
          {commits !== null && commits > commit_list.length && <li>and {commits - commit_list.length} older ones</li>}
        </ul>
      )}
    </div>
  );
}

interface CommitNameProps {
  readonly id: string;
  readonly subject: string;
  /** How many it changed; absent if that is not recorded, and then nothing can be shown of it. */
  readonly files: number | undefined;
}

/** A commit. Choosing it shows the files that it changed; choosing it again, all of the turn. */
function CommitName({ id, subject, files }: CommitNameProps) {
  const { commit: chosen, file: _, ...rest } = route.useSearch();
  const navigate = route.useNavigate();
  const name = (
    <>
      <span className="mono">{id.slice(0, 8)}</span> <OutsideText text={shownLine(subject)} className="cut" />
    </>
  );
  if (files === undefined) return name;
  const isChosen = chosen === id;
  const toggle = () => void navigate({ search: isChosen ? rest : { ...rest, commit: id }, resetScroll: false });
  return (
    <Button look="quiet" aria-pressed={isChosen} onClick={toggle} className="changes-commit">
      {name}{" "}
      <span className="m">
        <Count count={files} /> {files === 1 ? "file" : "files"}
      </span>
    </Button>
  );
}

interface CommitNoteProps {
  readonly id: string;
  readonly count: number | undefined;
  readonly missing: number;
}

function CommitNote({ id, count = 0, missing }: CommitNoteProps) {
  return (
    <p className="about small" role="status">
      Only what the commit <span className="mono">{id.slice(0, 8)}</span> changed. Each diff is that of the whole turn,
      which may have changed the file further.
      {missing > 0 &&
        ` ${missing} of its ${count} files are not here: the turn changed them back, or their names are not stored.`}
    </p>
  );
}

interface FileRowProps {
  readonly sessionId: string;
  readonly turn: Turn;
  readonly file: Turn["files"][number];
  /** `undefined` while they are read. */
  readonly messages: readonly Message[] | undefined;
  readonly isOpenFirst: boolean;
}

function FileRow({ sessionId, turn, file, messages, isOpenFirst }: FileRowProps) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const [isOpen, setOpen] = useState(isOpenFirst || search.file === file.path);
  const toggle = () => {
    setOpen(!isOpen);
    const { file: _, ...rest } = search;
    void navigate({ search: isOpen ? rest : { ...rest, file: file.path }, replace: true, resetScroll: false });
  };
  return (
    <li className="changes-file">
      <Button look="quiet" aria-expanded={isOpen} onClick={toggle}>
        <Icon name={isOpen ? "down" : "right"} />
        <span className="kind">{file.kind}</span>
        <span className="mono path">
          {file.previous_path !== null && (
            <>
              <OutsideText text={shownLine(pathText(file.previous_path))} /> →{" "}
            </>
          )}
          <OutsideText text={shownLine(pathText(file.path))} />
        </span>
        <span className="grow" />
        {file.lines_added === null ? (
          <span className="m">only its name is known</span>
        ) : (
          <Change added={file.lines_added} removed={file.lines_removed} />
        )}
      </Button>
      {isOpen && (
        <div className="changes-open">
          {messages === undefined ? (
            <Loading what="the tool calls" rows={1} />
          ) : (
            <WritingCalls sessionId={sessionId} path={file.path} messages={messages} />
          )}
          {file.lines_added === null ? (
            <p className="m2 small">
              There is no diff: the file is binary, larger than 1 MiB, a repository of its own, or changed its type.
            </p>
          ) : (
            <OpenFile sessionId={sessionId} turn={turn} path={file.path} />
          )}
        </div>
      )}
    </li>
  );
}

function OpenFile({
  sessionId,
  turn,
  path,
}: {
  readonly sessionId: string;
  readonly turn: Turn;
  readonly path: string;
}) {
  const { data: patch, isError, error, refetch } = useQuery(filePatchQuery(sessionId, turn.turn_id, path));
  const file = useMemo(() => parsePatch(patch ?? "").find((each) => each.path === path), [patch, path]);
  if (patch === undefined) {
    if (!isError) return <Loading what="the diff" rows={4} />;
    return <ErrorNote what="The diff could not be read." error={error} onRetry={() => void refetch()} />;
  }
  if (file === undefined) return <p className="m2 small">The stored patch does not have this file.</p>;
  const kind = modeWords(file.modes);
  return (
    <>
      <CopyButton text={file.text} label="Copy the patch of this file" />
      {kind !== undefined && <p className="m2 small">{kind}</p>}
      {file.hunks.length === 0 ? <p className="m2 small">No line changed.</p> : <FileDiff file={file} />}
    </>
  );
}
