/** A message's time in its order, as one bar. The list below it has the same in figures. */

import { doing } from "@valet/shared/answers/why/words";
import type { CSSProperties } from "react";
import type { Schemas } from "../../api/client.ts";
import { formatTime } from "../../format/figures.ts";
import { useNow } from "../../ui/age.tsx";
import { Duration } from "../../ui/figure.tsx";
import { KIND_LOOKS, KINDS, Legend } from "../../ui/kind.tsx";
import { OutsideText } from "../../ui/outside-text.tsx";
import { kindOf } from "./part-kind.ts";
import { type CourseBar, courseBars } from "./part-rows.ts";

export function CourseChart({ view }: { readonly view: Schemas["WhyView"] }) {
  const now = new Date(useNow());
  const { time, state, at } = view;
  if (time.wall_ms === 0) return null;
  const bars = courseBars(time);
  const startMs = Date.parse(at) - (state === "ended" ? 0 : time.wall_ms);
  const kinds = KINDS.filter((kind) => bars.some(({ name }) => kindOf(name) === kind));
  return (
    <section className="why-course" aria-label="Where the time went, in order">
      <ol className="why-whole">
        {bars.map((bar, index) => (
          <Piece key={bar.atMs} bar={bar} isOpen={state !== "ended" && index === bars.length - 1} />
        ))}
      </ol>
      <div className="why-axis" aria-hidden="true">
        <span>{state === "ended" ? "accepted" : formatTime(new Date(startMs), now)}</span>
        <span>
          {state === "ended" ? <Duration ms={time.wall_ms} hasTenths /> : `now, ${formatTime(new Date(at), now)}`}
        </span>
      </div>
      <Legend kinds={kinds} />
    </section>
  );
}

function Piece({ bar, isOpen }: { readonly bar: CourseBar; readonly isOpen: boolean }) {
  const { name, detail, ms, left, width, hasLabel } = bar;
  const text = doing({ name, detail, cause: null }).replaceAll("`", "");
  return (
    <li style={{ "--l": `${left}%`, "--w": `${width}%` } as CSSProperties} title={text.slice(0, 200)}>
      <span className={hasLabel ? "cut" : "sr"}>
        <OutsideText text={text} max={80} />{" "}
        <b>
          <Duration ms={ms} hasTenths />
        </b>
      </span>
      <i className={`bar ${KIND_LOOKS[kindOf(name)].bar}${isOpen ? " open" : ""}`} />
    </li>
  );
}
