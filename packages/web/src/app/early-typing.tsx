import { useEffect, useRef, useState } from "react";
import { withKey } from "./typed-text.ts";

interface EarlyTypingProps {
  readonly onText: (text: string) => void;
  readonly onClose: () => void;
}

/** Stands in for the palette until it is loaded: what is typed meanwhile is shown, and handed on. */
export function EarlyTyping({ onText, onClose }: EarlyTypingProps) {
  const [text, setText] = useState("");
  const latest = useRef({ text, onText, onClose });
  latest.current = { text: latest.current.text, onText, onClose };
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key === "Escape") latest.current.onClose();
      const next = withKey(latest.current.text, event);
      if (next === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      latest.current.text = next;
      latest.current.onText(next);
      setText(next);
    };
    document.addEventListener("keydown", onKeyDown, { capture: true });
    return () => document.removeEventListener("keydown", onKeyDown, { capture: true });
  }, []);
  return (
    <div className="dialog" role="dialog" aria-label="Search or jump to…" aria-busy="true">
      <div className="field early-typing">{text}</div>
    </div>
  );
}
