/** The parts of an agent's answer: text, thoughts, tool calls. */
import { cutEnd } from "@valet/shared/text";
import { visibleText } from "@valet/shared/visible-text";
import { useState } from "react";
import { firstLine } from "../format/first-line.ts";
import { useNow } from "../ui/age.tsx";
import { Duration } from "../ui/figure.tsx";
import { Icon } from "../ui/icons.tsx";
import { CopyButton } from "../ui/notes.tsx";
import { OutsideText } from "../ui/outside-text.tsx";
import { Scrollable } from "../ui/scrollable.tsx";
import type { Part } from "./conversation.ts";
import { Markdown } from "./markdown.tsx";
import { readableInput, type ToolPart, toolFailure, toolSubject } from "./tool-line.ts";

/** The most of a tool's input or output that is laid out. The API has at most 8,000. */
const MAX_SHOWN = 8_000;

interface PartRowProps {
  readonly part: Part;
  /** It may still grow. */
  readonly isLive: boolean;
  readonly isSelected: boolean;
  readonly onSelect: (spanId: string | undefined) => void;
}

export function PartRow({ part, isLive, isSelected, onSelect }: PartRowProps) {
  if (part.type === "text") {
    return (
      <div className="said" data-live={isLive || undefined}>
        <Markdown text={part.text} />
      </div>
    );
  }
  if (part.type === "reasoning") return <Thought text={part.text} isLive={isLive} />;
  return <ToolRow part={part} isSelected={isSelected} onSelect={onSelect} />;
}

function Thought({ text, isLive }: { readonly text: string; readonly isLive: boolean }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <>
      <button type="button" className="call" aria-expanded={isOpen} data-row onClick={() => setOpen(!isOpen)}>
        <Icon name="model" className="m" />
        <span className="m">{isLive ? "thinks" : "thought"}</span>
        <OutsideText text={firstLine(text)} className="cut grow m" />
      </button>
      {isOpen && (
        <div className="said m2">
          <Markdown text={text} />
        </div>
      )}
    </>
  );
}

function ToolRow({ part, isSelected, onSelect }: Omit<PartRowProps, "isLive" | "part"> & { readonly part: ToolPart }) {
  const [isOpen, setOpen] = useState(false);
  const toggle = () => {
    setOpen(!isOpen);
    onSelect(part.spanId);
  };
  return (
    <>
      <button
        type="button"
        className="call"
        aria-expanded={isOpen}
        aria-current={isSelected ? "true" : undefined}
        data-row
        onClick={toggle}
      >
        <Icon name={part.tool.endsWith("_session") ? "sandbox" : "tool"} className={hueOf(part)} />
        <OutsideText text={part.tool} className="mono cut tool-name" max={200} />
        <OutsideText text={toolSubject(part)} className="cut grow" />
        <Outcome part={part} />
        <span className="n call-time">
          <CallTime part={part} />
        </span>
      </button>
      {isOpen && (
        <div className="call-more">
          <Block label="Input" text={readableInput(part.input ?? "")} none="The call has no input yet." />
          <Block
            label={part.status === "error" ? "Error" : "Output"}
            text={part.output ?? ""}
            none={part.status === "completed" ? "It wrote nothing." : "Nothing yet."}
          />
        </div>
      )}
    </>
  );
}

function hueOf({ tool, status, errorType }: ToolPart): string {
  if (status === "error" || errorType !== undefined) return "t-failed";
  return tool.endsWith("_session") ? "t-sandbox" : "t-tool";
}

function Outcome({ part }: { readonly part: ToolPart }) {
  const failure = toolFailure(part);
  if (failure !== undefined) return <Failed text={failure} />;
  if (part.status === "pending") return <span className="m">about to run</span>;
  if (part.status === "running") return <span className="t-tool">runs</span>;
  return <span className="sr">ok</span>;
}

function Failed({ text }: { readonly text: string }) {
  return (
    <span className="t-failed inline-flex items-center gap-1 whitespace-nowrap">
      <Icon name="failed" /> {text}
    </span>
  );
}

function CallTime({ part }: { readonly part: ToolPart }) {
  if (part.status === "running" && part.startedAt !== undefined) return <Running since={part.startedAt} />;
  return part.status === "pending" ? null : <Duration ms={part.duration_ms} />;
}

function Running({ since }: { readonly since: string }) {
  const ms = Math.max(0, useNow() - Date.parse(since));
  return <Duration ms={Math.floor(ms / 1000) * 1000} />;
}

function Block({ label, text, none }: { readonly label: string; readonly text: string; readonly none: string }) {
  if (text === "") return <p className="m small">{none}</p>;
  return (
    <figure>
      <figcaption className="m small">
        {label} <CopyButton text={text} label="Copy" />
      </figcaption>
      <Scrollable as="pre" label={label}>
        <bdi>{visibleText(cutEnd(text, MAX_SHOWN))}</bdi>
      </Scrollable>
    </figure>
  );
}
