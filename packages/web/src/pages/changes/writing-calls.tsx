/** The way from a changed file back to the tool calls that wrote it, or why it is not known. */
import { Link } from "@tanstack/react-router";
import type { Schemas } from "../../api/client.ts";
import { OutsideText } from "../../ui/outside-text.tsx";
import { shownLine } from "./diff-chunks.ts";
import { type WritingCall, writtenBy } from "./written-by.ts";

interface WritingCallsProps {
  readonly sessionId: string;
  readonly path: string;
  readonly messages: readonly Schemas["MessageView"][];
}

export function WritingCalls({ sessionId, path, messages }: WritingCallsProps) {
  if (messages.length === 0) {
    return (
      <p className="m2 small">
        Which tool call wrote it is not known here: the turn is a workflow's, or its message could not be read.
      </p>
    );
  }
  const { calls, others } = writtenBy(path, messages);
  const traces = new Map(messages.map(({ id, traceId }) => [id, traceId]));
  const list = (all: readonly WritingCall[]) =>
    all
      .slice(0, 20)
      .map((call) => (
        <Call key={call.part.id} sessionId={sessionId} call={call} traceId={traces.get(call.messageId)} />
      ));
  if (calls.length > 0)
    return (
      <div className="changes-calls small">
        Written by <ul>{list(calls)}</ul>
      </div>
    );
  if (others.length === 0) return <p className="m2 small">No tool call of this turn names this file.</p>;
  return (
    <div className="changes-calls small m2">
      Which call wrote it cannot be known: commands and sub-agents do not say what they write. It may have been{" "}
      <ul>{list(others)}</ul>
    </div>
  );
}

function Call(props: { readonly sessionId: string; readonly call: WritingCall; readonly traceId: string | undefined }) {
  const { sessionId, traceId, call } = props;
  const { tool, title, spanId } = call.part;
  const text = (
    <>
      <OutsideText text={tool} className="mono" max={60} /> <OutsideText text={shownLine(title ?? "")} max={80} />
    </>
  );
  return (
    <li>
      {traceId === undefined || spanId === undefined ? (
        <Link to="/sessions/$sessionId" params={{ sessionId }} search={{ message: call.messageId }} className="lnk">
          {text}
        </Link>
      ) : (
        <Link
          to="/sessions/$sessionId/traces/$traceId"
          params={{ sessionId, traceId }}
          search={{ span: spanId }}
          className="lnk"
        >
          {text}
        </Link>
      )}
    </li>
  );
}
