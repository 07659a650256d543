/** The filters of the turns, as buttons with a menu each, and what they leave. */
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { repositoryName } from "../../format/session-names.ts";
import { Button } from "../../ui/button.tsx";
import { Icon } from "../../ui/icons.tsx";
import { Menu, MenuChoice, MenuLine } from "../../ui/menu.tsx";
import { OutsideText } from "../../ui/outside-text.tsx";
import { utcText } from "./stats-words.ts";
import { statsQuery } from "./turns-queries.ts";
import { FILTERS, type Filter, filterCount, PERIODS, type PeriodName, type TurnsSearch } from "./turns-search.ts";

const WORDS: Readonly<Record<Filter, string>> = {
  user: "Person",
  repository: "Repository",
  branch: "Branch",
  model: "Model",
  outcome: "Outcome",
  error: "Error",
  channel: "Channel",
  tool: "Tool",
};

const PERIOD_WORDS: Readonly<Record<PeriodName, string>> = {
  hour: "last hour",
  day: "last 24 hours",
  week: "last 7 days",
  month: "last 30 days",
};

/** Returns how a value of a filter is shown. */
export function shownValue(filter: string, value: string): string {
  return filter === "repository" ? (repositoryName(value) ?? value) : value;
}

/** @param total the number of turns, as text */
export function TurnsBar({ search, total }: { readonly search: TurnsSearch; readonly total: string }) {
  const navigate = useNavigate({ from: "/turns" });
  const change = (next: TurnsSearch) => void navigate({ to: "/turns", search: next });
  return (
    <search className="turns-bar">
      <h1>Turns</h1>
      <PeriodFilter search={search} onChange={change} />
      {FILTERS.map((filter) => (
        <ValueFilter key={filter} filter={filter} search={search} onChange={change} />
      ))}
      {filterCount(search) > 0 && (
        <Button
          look="quiet"
          onClick={() => {
            const { sort, by, of, exact } = search;
            change({ ...(sort && { sort }), ...(by && { by }), ...(of && { of }), ...(exact && { exact }) });
          }}
        >
          Clear
        </Button>
      )}
      <span className="grow" />
      <p className="small m2" aria-live="polite">
        {total}
      </p>
    </search>
  );
}

interface FilterProps {
  readonly search: TurnsSearch;
  readonly onChange: (search: TurnsSearch) => void;
}

function PeriodFilter({ search, onChange }: FilterProps) {
  const { last = "week", from, to, ...rest } = search;
  const isOwn = from !== undefined || to !== undefined;
  const words = isOwn
    ? [from && `from ${utcText(from)}`, to && `to ${utcText(to)}`, "UTC"].filter(Boolean).join(" ")
    : PERIOD_WORDS[last];
  return (
    <FilterMenu text={words} isOn={isOwn || search.last !== undefined} name="Period">
      {(Object.keys(PERIODS) as PeriodName[]).map((name) => (
        <MenuChoice
          key={name}
          isChosen={!isOwn && name === last}
          onSelect={() => onChange(name === "week" ? rest : { ...rest, last: name })}
        >
          {PERIOD_WORDS[name]}
        </MenuChoice>
      ))}
    </FilterMenu>
  );
}

function ValueFilter({ filter, search, onChange }: FilterProps & { readonly filter: Filter }) {
  const value = search[filter];
  const { [filter]: _, ...rest } = search;
  return (
    <FilterMenu
      name={WORDS[filter]}
      text={value === undefined ? WORDS[filter] : <OutsideText text={shownValue(filter, value)} max={100} />}
      isOn={value !== undefined}
    >
      <MenuChoice isChosen={value === undefined} onSelect={() => onChange(rest)}>
        Any
      </MenuChoice>
      <MenuLine />
      <Choices
        filter={filter}
        search={rest}
        value={value}
        onSelect={(chosen) => onChange({ ...rest, [filter]: chosen })}
      />
    </FilterMenu>
  );
}

/** The values that turns have, with the other filters. They are asked for when the menu opens. */
function Choices(props: {
  readonly filter: Filter;
  readonly search: TurnsSearch;
  readonly value: string | undefined;
  readonly onSelect: (value: string) => void;
}) {
  const { filter, search, value, onSelect } = props;
  const { data, isError } = useQuery(statsQuery(search, filter));
  const groups = (data?.groups ?? []).flatMap(({ keys, turns }) => {
    const key = keys[filter];
    return key === null || key === undefined ? [] : [{ key, turns }];
  });
  if (groups.length === 0) {
    return <p className="menu-label">{data === undefined ? (isError ? "not known" : "…") : "no turn has one"}</p>;
  }
  return groups.map(({ key, turns }) => (
    <MenuChoice key={key} isChosen={key === value} onSelect={() => onSelect(key)}>
      <OutsideText text={shownValue(filter, key)} max={200} /> <span className="m">{turns}</span>
    </MenuChoice>
  ));
}

function FilterMenu(props: {
  readonly name: string;
  readonly text: ReactNode;
  readonly isOn: boolean;
  readonly children: ReactNode;
}) {
  return (
    <Menu
      trigger={(own) => (
        <Button aria-pressed={props.isOn} {...own}>
          {props.isOn && <span className="sr">{props.name}: </span>}
          <span className="cut max-w-48">{props.text}</span>
          <Icon name="down" />
        </Button>
      )}
    >
      {props.children}
    </Menu>
  );
}
