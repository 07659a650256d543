import { memo } from "react";
import { Button, IconButton, Segments } from "../ui/button.tsx";
import { Icon } from "../ui/icons.tsx";
import { type Kind, Legend } from "../ui/kind.tsx";

export type Preset = "whole" | "today" | "turn" | "none";

interface ToolbarProps {
  readonly preset: Preset;
  readonly hasToday: boolean;
  readonly hasTurn: boolean;
  readonly isFollowing: boolean;
  readonly isWhole: boolean;
  readonly kinds: readonly Kind[];
  readonly onPreset: (preset: Preset) => void;
  /** @param factor above 1 to see less time */
  readonly onZoom: (factor: number) => void;
  /** @param part of the width, to later times if above 0 */
  readonly onPan: (part: number) => void;
  readonly onFollow: () => void;
}

export const ZOOM_STEP = 1.6;
export const PAN_STEP = 0.25;

export const Toolbar = memo(function Toolbar(props: ToolbarProps) {
  const { preset, hasToday, hasTurn, isFollowing, isWhole, onZoom, onPan } = props;
  const options: (readonly [Preset, string])[] = [
    ["whole", "Whole session"],
    ...(hasToday ? [["today", "Today"] as const] : []),
    ...(hasTurn ? [["turn", "This turn"] as const] : []),
  ];
  return (
    <div className="tl-bar">
      <Segments label="Range" value={preset} options={options} onChange={props.onPreset} />
      <div className="acts0">
        <IconButton
          look="normal"
          icon="minus"
          label="Zoom out (−)"
          onClick={() => onZoom(1 / ZOOM_STEP)}
          aria-disabled={isWhole || undefined}
        />
        <IconButton look="normal" icon="add" label="Zoom in (+)" onClick={() => onZoom(ZOOM_STEP)} />
        <IconButton
          look="normal"
          icon="right"
          className="tl-earlier"
          label="Earlier (Shift ←)"
          onClick={() => onPan(-PAN_STEP)}
          aria-disabled={isWhole || undefined}
        />
        <IconButton
          look="normal"
          icon="right"
          label="Later (Shift →)"
          onClick={() => onPan(PAN_STEP)}
          aria-disabled={isWhole || undefined}
        />
      </div>
      <Button aria-pressed={isFollowing} onClick={props.onFollow} title="Keeps now in view (F)">
        <Icon name={isFollowing ? "pause" : "run"} />
        Follow
      </Button>
      <span className="grow" />
      <Legend kinds={props.kinds} />
    </div>
  );
});
