/** What stands where content does not: nothing yet, loading, failed; and rows that wait. */
import { type ReactNode, useEffect, useState } from "react";
import { errorSentence } from "../api/problem.ts";
import { Button } from "./button.tsx";
import { copyText } from "./copy-text.ts";
import { Icon, type IconName } from "./icons.tsx";
import { Sentence } from "./outside-text.tsx";

/** Says what would be here, with one action. */
export function Empty(props: {
  readonly title: ReactNode;
  readonly children?: ReactNode;
  readonly action?: ReactNode;
}) {
  return (
    <section className="card">
      <h2>{props.title}</h2>
      {props.children !== undefined && <p className="m2 mt-0.5 max-w-[34rem]">{props.children}</p>}
      {props.action !== undefined && <div className="mt-2 flex flex-wrap items-center gap-2">{props.action}</div>}
    </section>
  );
}

/** What failed, why, and what can be done. @param what a sentence: "The trace could not be read." */
export function ErrorNote(props: {
  readonly what: string;
  readonly error: unknown;
  readonly onRetry?: () => void;
  readonly children?: ReactNode;
}) {
  const sentence = errorSentence(props.error);
  return (
    <section className="card" role="alert">
      <h2 className="t-failed flex items-center gap-2">
        <Icon name="failed" />
        {props.what}
      </h2>
      <p className="m2 mt-0.5 max-w-[34rem]">
        <Sentence text={sentence} />
      </p>
      <div className="mt-2 flex flex-wrap items-center gap-2">
        {props.onRetry !== undefined && <Button onClick={props.onRetry}>Try again</Button>}
        <CopyButton text={`${props.what} ${sentence}`} label="Copy the error" />
        {props.children}
      </div>
    </section>
  );
}

interface CopyButtonProps {
  /** The text, or what reads it when it is wanted. */
  readonly text: string | (() => Promise<string>);
  readonly label: string;
}

/** Copies a text, and says so in its own place. */
export function CopyButton({ text, label }: CopyButtonProps) {
  const [said, setSaid] = useState<string>();
  useEffect(() => {
    if (said === undefined) return;
    const timer = setTimeout(() => setSaid(undefined), 2_000);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = async () => {
    const read = typeof text === "string" ? text : await text().catch(() => undefined);
    if (read === undefined) setSaid("It could not be read");
    else setSaid((await copyText(read)) ? "Copied" : "The browser refused to copy");
  };
  return (
    <Button look="quiet" icon={said === "Copied" ? "ok" : "copy"} onClick={copy}>
      <span aria-live="polite">{said ?? label}</span>
    </Button>
  );
}

/** A wait below this is not shown: a flash of shapes disturbs more than it tells. */
const SHOWN_AFTER_MS = 150;

/** The shape of what comes. @param what "the sessions"; `rows` their number; `height` that of a row, in rem */
export function Loading(props: { readonly what: string; readonly rows?: number; readonly height?: number }) {
  const [isShown, setShown] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setShown(true), SHOWN_AFTER_MS);
    return () => clearTimeout(timer);
  }, []);
  const { what, rows = 3, height = 1.875 } = props;
  if (!isShown) return <div aria-busy="true" style={{ height: `${rows * height}rem` }} />;
  return (
    <div aria-busy="true" role="status">
      <span className="sr">Loading {what}</span>
      {Array.from({ length: rows }, (_, row) => (
        <div key={WIDTHS[row] ?? row} className="flex items-center" style={{ height: `${height}rem` }}>
          <i className="sk" style={{ width: `${WIDTHS[row % WIDTHS.length]}%` }} />
        </div>
      ))}
    </div>
  );
}
const WIDTHS = [62, 44, 52, 37, 58, 48, 41];

/** A line about the state of the page. */
export function Notice(props: {
  readonly icon: IconName;
  readonly isBad?: boolean;
  readonly className?: string;
  readonly children: ReactNode;
  readonly action?: ReactNode;
}) {
  const isBad = props.isBad === true;
  return (
    <div className={`notice${isBad ? " bad" : ""} ${props.className ?? ""}`}>
      <Icon name={props.icon} className={isBad ? "t-failed" : "m2"} />
      <span className="grow">{props.children}</span>
      {props.action}
    </div>
  );
}

/** New rows that wait, since rows must not move under a pointer or the focus. */
export function NewRows({ count, onShow }: { readonly count: number; readonly onShow: () => void }) {
  if (count === 0) return null;
  return (
    <Notice icon="pause" action={<Button onClick={onShow}>Show {count === 1 ? "it" : "them"}</Button>}>
      <b>{count === 1 ? "1 new row" : `${count} new rows`}</b> {count === 1 ? "waits" : "wait"} above.
    </Notice>
  );
}
