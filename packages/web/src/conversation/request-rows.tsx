/** What the agent asks a person, answered in place, and what became of it. */
import type { ReactNode } from "react";
import type { Schemas } from "../api/client.ts";
import { withKeys } from "../format/with-keys.ts";
import { PermissionAnswer } from "../requests/permission-answer.tsx";
import { QuestionAnswer } from "../requests/question-answer.tsx";
import { Age } from "../ui/age.tsx";
import { Icon } from "../ui/icons.tsx";
import { OutsideText } from "../ui/outside-text.tsx";
import { Scrollable } from "../ui/scrollable.tsx";
import type { ClosedRequest } from "./conversation.ts";

interface AskProps {
  readonly id: string;
  readonly title: string;
  readonly since: string;
  readonly children: ReactNode;
  readonly actions: ReactNode;
}

function Ask({ id, title, since, children, actions }: AskProps) {
  return (
    <section className="ask" aria-labelledby={`${id}-title`} data-request={id}>
      <h3 id={`${id}-title`}>
        <Icon name="person" className="t-person" /> {title}
        <span className="n t-person">
          waits for you <Age since={since} />
        </span>
      </h3>
      {children}
      <div className="acts">{actions}</div>
    </section>
  );
}

interface PermissionRowProps {
  readonly sessionId: string;
  readonly request: Schemas["PermissionView"];
  /** Keys answer it: it is the first that is open. */
  readonly hasKeys: boolean;
}

export function PermissionRow({ sessionId, request, hasKeys }: PermissionRowProps) {
  return (
    <Ask
      id={request.id}
      title="The agent asks for permission"
      since={request.askedAt}
      actions={<PermissionAnswer sessionId={sessionId} permission={request} hasKeys={hasKeys} />}
    >
      <p>
        <OutsideText text={request.permission} className="mono" max={100} />
      </p>
      <Scrollable as="pre" label="What is asked for">
        <OutsideText text={request.detail} max={8_000} />
      </Scrollable>
    </Ask>
  );
}

const textOf = ({ question }: Schemas["AgentQuestion"]) => question;

interface QuestionRowProps {
  readonly sessionId: string;
  readonly request: Schemas["QuestionView"];
  readonly hasKeys: boolean;
}

export function QuestionRow({ sessionId, request, hasKeys }: QuestionRowProps) {
  return (
    <Ask
      id={request.id}
      title={request.questions.length === 1 ? "The agent asks" : `The agent asks ${request.questions.length} questions`}
      since={request.askedAt}
      actions={<QuestionAnswer sessionId={sessionId} request={request} hasKeys={hasKeys} hasNotes />}
    >
      {withKeys(request.questions, textOf).map(({ key, item }) => (
        <p key={key}>
          <OutsideText text={item.question} className="whitespace-pre-wrap [overflow-wrap:anywhere]" />
        </p>
      ))}
    </Ask>
  );
}

/** Who answered what; or that nobody did. */
export function ClosedRow({ request: { asked, answer, by } }: { readonly request: ClosedRequest }) {
  const who = by === undefined ? null : <OutsideText text={by} max={128} />;
  return (
    <p className="row-line m2">
      <Icon name="person" className="t-person" />
      <span className="grow">
        <OutsideText text={asked} max={300} className="m" />{" "}
        {answer === undefined && "The turn ended before anybody answered."}
        {answer === null && <>{who ?? "Somebody"} declined to answer.</>}
        {typeof answer === "string" && (
          <>
            {who ?? "Somebody"} answered:{" "}
            <b>
              <OutsideText text={answer} max={2_000} />
            </b>
          </>
        )}
      </span>
    </p>
  );
}
