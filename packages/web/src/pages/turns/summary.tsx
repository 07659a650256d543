/** Five plots over all turns that the filters leave: each measure with its percentiles, and the failures by day. */
import type { Schemas } from "../../api/client.ts";
import { daysOf, dayText } from "../../format/days.ts";
import { formatCount } from "../../format/figures.ts";
import { DayBars } from "../../plots/day-bars.tsx";
import { Histogram } from "../../plots/histogram.tsx";
import { Icon } from "../../ui/icons.tsx";
import { MEASURE_LOOKS, type MeasureLook } from "./measures.ts";
import { gapsText } from "./stats-words.ts";
import type { MeasureName } from "./turns-search.ts";

const HEIGHT = 56;
const PERCENTILES = ["p50", "p90", "p99"] as const;

interface SummaryProps {
  readonly stats: Schemas["TurnStats"];
  /** Statistics by day; `undefined` as long as they are not known. */
  readonly byDay: Schemas["TurnStats"] | undefined;
  readonly chosen: MeasureName;
  readonly onChoose: (measure: MeasureName) => void;
}

export function Summary({ stats, byDay, chosen, onChoose }: SummaryProps) {
  return (
    <div className="turns-plots">
      {MEASURE_LOOKS.map((look) => (
        <MeasurePlot
          key={look.name}
          look={look}
          total={stats.total}
          isChosen={look.name === chosen}
          onChoose={() => onChoose(look.name)}
        />
      ))}
      <Failures stats={stats} byDay={byDay} />
    </div>
  );
}

function MeasurePlot(props: {
  readonly look: MeasureLook;
  readonly total: Schemas["TurnGroup"];
  readonly isChosen: boolean;
  readonly onChoose: () => void;
}) {
  const { look, total } = props;
  const measure = total.measures[look.key];
  const { bars, known, partial = 0 } = measure;
  const values = PERCENTILES.map((name) => measure[name]);
  const figures = PERCENTILES.map((name) => `${name} ${look.text(measure[name])}`).join(", ");
  const first = bars[0];
  const last = bars.at(-1);
  return (
    <section className="turns-plot" aria-label={look.title}>
      <h2>
        <button type="button" aria-pressed={props.isChosen} onClick={props.onChoose}>
          {look.icon !== undefined && <Icon name={look.icon} className={look.iconHue} />}
          {look.title}
        </button>
      </h2>
      <dl>
        {PERCENTILES.map((name) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{look.text(measure[name])}</dd>
          </div>
        ))}
      </dl>
      {known === 0 ? (
        <p className="turns-plot-none">No turn has a value.</p>
      ) : (
        <>
          <Histogram
            label={`${look.title} of ${known} turns, logarithmic: ${figures}`}
            bars={bars}
            percentiles={values}
            colour={look.colour}
            height={HEIGHT}
          />
          <div className="turns-plot-ends" aria-hidden="true">
            <span>{look.text(first?.to === 0 ? 0 : first?.from)}</span>
            <span>{gapsText(total.turns - known, partial)}</span>
            <span>{look.text(last?.to)}</span>
          </div>
        </>
      )}
    </section>
  );
}

function Failures({ stats, byDay }: Pick<SummaryProps, "stats" | "byDay">) {
  const { turns, outcomes } = stats.total;
  const { error = 0, lost = 0 } = outcomes;
  const of = new Map(byDay?.groups.map(({ keys, outcomes: each }) => [keys.day, each]));
  const days = daysOf(stats.from, stats.to).map((day) => {
    const each = of.get(day);
    return { day, failed: each?.error ?? 0, lost: each?.lost ?? 0 };
  });
  const worst = days
    .filter((day) => day.failed + day.lost > 0)
    .map((day) => `${dayText(day.day)}: ${day.failed + day.lost}`);
  return (
    <section className="turns-plot" aria-label="Failed and lost">
      <h2>
        <span>
          <Icon name="failed" className="t-failed" />
          Failed and lost
        </span>
      </h2>
      <dl>
        <div>
          <dt>failed</dt>
          <dd>
            {formatCount(error)} of {formatCount(turns)}
          </dd>
        </div>
        <div>
          <dt>lost</dt>
          <dd>{formatCount(lost)}</dd>
        </div>
      </dl>
      {error + lost === 0 ? (
        <p className="turns-plot-none">No turn failed.</p>
      ) : (
        <>
          <DayBars label={`Failed and lost turns by day: ${worst.join(", ")}`} days={days} height={HEIGHT} />
          <div className="turns-plot-ends" aria-hidden="true">
            <span>{dayText(days[0]?.day ?? "")}</span>
            <span>by day, UTC</span>
            <span>{dayText(days.at(-1)?.day ?? "")}</span>
          </div>
        </>
      )}
    </section>
  );
}
