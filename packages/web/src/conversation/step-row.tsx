/** A step of a workflow, with its answer or its command's output. */
import { visibleText } from "@valet/shared/visible-text";
import { useState } from "react";
import { Duration } from "../ui/figure.tsx";
import { Icon } from "../ui/icons.tsx";
import { OutsideText, Sentence } from "../ui/outside-text.tsx";
import { Scrollable } from "../ui/scrollable.tsx";
import type { Part, Workflow } from "./conversation.ts";
import { Markdown } from "./markdown.tsx";

interface StepRowProps {
  readonly step: Workflow["steps"][number];
  /** The answer that a running step has so far. */
  readonly parts: readonly Part[];
  /** Reads the output of the steps, which lists leave out. */
  readonly onOpen: () => void;
}

export function StepRow({ step, parts, onOpen }: StepRowProps) {
  const [isOpen, setOpen] = useState(false);
  const toggle = () => {
    if (!isOpen && step.status === "done" && step.output === undefined) onOpen();
    setOpen(!isOpen);
  };
  return (
    <>
      <button type="button" className="call" aria-expanded={isOpen} data-row onClick={toggle}>
        <Icon
          name={step.type === "command" ? "tool" : "model"}
          className={step.type === "command" ? "t-tool" : "t-model"}
        />
        <span className="m">{step.type}</span>
        <OutsideText text={step.name} className="cut grow" max={200} />
        <StepState step={step} />
        <span className="n call-time">{step.duration_ms !== undefined && <Duration ms={step.duration_ms} />}</span>
      </button>
      {step.failure !== undefined && (
        <p className="row-line t-failed">
          <Sentence text={step.failure.message} />
        </p>
      )}
      {isOpen && (
        <div className="call-more">
          {step.type === "command" ? (
            <Scrollable as="pre" label="Output">
              <bdi>{visibleText(step.output ?? "It has written nothing yet.")}</bdi>
            </Scrollable>
          ) : (
            <div className="said">
              <Markdown
                text={step.output ?? parts.map((part) => (part.type === "text" ? part.text : "")).join("\n\n")}
              />
            </div>
          )}
        </div>
      )}
    </>
  );
}

function StepState({ step }: Pick<StepRowProps, "step">) {
  if (step.status !== "done") return <span className="m">{step.status === "running" ? "runs" : "waits"}</span>;
  if (step.outcome === "ok") return <span className="sr">ok</span>;
  if (step.outcome === "error" || step.outcome === "lost") {
    const how =
      step.signal ??
      (step.exitCode === undefined ? (step.outcome === "lost" ? "lost" : "failed") : `exit ${step.exitCode}`);
    return (
      <span className="t-failed inline-flex items-center gap-1 whitespace-nowrap">
        <Icon name={step.outcome === "lost" ? "lost" : "failed"} /> {how}
      </span>
    );
  }
  return <span className="m">{step.outcome}</span>;
}
