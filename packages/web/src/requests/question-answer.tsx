/** Questions of the agent, and the ways to answer: an option, own words, or to decline. */
import { cutEnd } from "@valet/shared/text";
import { type FormEvent, useState } from "react";
import { replyToQuestion } from "../api/changes.ts";
import type { Schemas } from "../api/client.ts";
import { useAnswer } from "../api/use-change.ts";
import { withKeys } from "../format/with-keys.ts";
import { Button } from "../ui/button.tsx";
import { TextArea } from "../ui/field.tsx";
import { OutsideText } from "../ui/outside-text.tsx";
import { answersOf, choose, EMPTY_DRAFT, isSimple } from "./question-draft.ts";

interface QuestionAnswerProps {
  readonly sessionId: string;
  readonly request: Schemas["QuestionView"];
  /** Show the number of each answer, since keys give it. */
  readonly hasKeys?: boolean;
  /** Show what each option means, beside it. */
  readonly hasNotes?: boolean;
}

export function QuestionText({ request }: Pick<QuestionAnswerProps, "request">) {
  const [first] = request.questions;
  if (request.questions.length !== 1 || first === undefined) {
    return <b>Asks {request.questions.length} questions.</b>;
  }
  return (
    <>
      <b>Asks:</b> <OutsideText text={first.question} className="whitespace-pre-wrap [overflow-wrap:anywhere]" />
    </>
  );
}

export function QuestionAnswer({ sessionId, request, hasKeys = false, hasNotes = false }: QuestionAnswerProps) {
  const [isWriting, setWriting] = useState(false);
  const answer = useAnswer(sessionId, (answers: string[][] | null) => replyToQuestion(sessionId, request.id, answers));
  const { questions } = request;
  const [first] = questions;
  if (answer.isSuccess) return <span className="m2 small">Your answer is on its way.</span>;
  if (isWriting || first === undefined) {
    return (
      <AnswerForm
        questions={questions}
        isBusy={answer.isPending}
        onAnswer={answer.mutate}
        onCancel={() => setWriting(false)}
      />
    );
  }
  return (
    <>
      {isSimple(questions) &&
        withKeys(first.options, labelOf).map(({ key, item: { label, description } }, index) => (
          <Button
            key={key}
            data-answer={index + 1}
            title={hasNotes ? undefined : cutEnd(description, 300)}
            isBusy={answer.isPending}
            onClick={() => answer.mutate([[label]])}
            {...(hasKeys && index < 9 && { hint: String(index + 1) })}
          >
            <OutsideText text={label} className={hasNotes ? "" : "cut max-w-64"} />
            {hasNotes && description !== "" && <OutsideText text={description} className="option-note" />}
          </Button>
        ))}
      <Button data-answer="own" onClick={() => setWriting(true)} {...(hasKeys && { hint: "R" })}>
        {isSimple(questions) ? "Write an answer…" : "Answer…"}
      </Button>
      <Button look="quiet" isBusy={answer.isPending} onClick={() => answer.mutate(null)}>
        Decline
      </Button>
    </>
  );
}

const labelOf = ({ label }: Schemas["AgentQuestion"]["options"][number]) => label;

function AnswerForm(props: {
  readonly questions: readonly Schemas["AgentQuestion"][];
  readonly isBusy: boolean;
  readonly onAnswer: (answers: string[][]) => void;
  readonly onCancel: () => void;
}) {
  const { questions } = props;
  const [drafts, setDrafts] = useState(questions.map(() => EMPTY_DRAFT));
  const answers = answersOf(questions, drafts);
  const change = (index: number, draft: (typeof drafts)[number]) => setDrafts(drafts.with(index, draft));
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (answers !== undefined && !props.isBusy) props.onAnswer(answers);
  };
  return (
    <form
      className="grid w-full max-w-[34rem] gap-3"
      onSubmit={submit}
      onKeyDown={(event) => event.key === "Escape" && props.onCancel()}
    >
      {withKeys(questions, ({ question }) => question).map(({ key, item: question }, index) => {
        const draft = drafts[index] ?? EMPTY_DRAFT;
        return (
          <fieldset key={key} className="grid gap-1">
            <legend className={questions.length === 1 ? "sr" : "mb-1"}>
              <OutsideText text={question.question} className="[overflow-wrap:anywhere]" />
            </legend>
            {withKeys(question.options, labelOf).map(({ key, item: { label, description } }) => (
              <label key={key} className="flex min-h-6 items-baseline gap-2">
                <input
                  type={question.multiple === true ? "checkbox" : "radio"}
                  checked={draft.chosen.includes(label)}
                  onChange={() => change(index, choose(draft, question, label))}
                />
                <span>
                  <OutsideText text={label} /> <OutsideText text={description} className="m2 small" />
                </span>
              </label>
            ))}
            <TextArea
              label={questions.length === 1 ? "Your answer" : `Your own answer to question ${index + 1}`}
              rows={2}
              maxLength={2000}
              // A person asked for this field, by a button or a key.
              autoFocus={index === 0}
              value={draft.own}
              onChange={(event) => change(index, { ...draft, own: event.target.value })}
            />
          </fieldset>
        );
      })}
      <div className="flex gap-2">
        <Button look="primary" type="submit" isBusy={props.isBusy} disabled={answers === undefined}>
          Answer
        </Button>
        <Button look="quiet" onClick={props.onCancel}>
          Cancel
        </Button>
      </div>
    </form>
  );
}
