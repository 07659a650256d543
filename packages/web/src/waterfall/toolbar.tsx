/** What is above the waterfall: search, the ways to the next match and error, the critical path, zoom. */
import type { RefObject } from "react";
import { Button, IconButton } from "../ui/button.tsx";
import { Count } from "../ui/figure.tsx";

export interface ToolbarProps {
  readonly field: RefObject<HTMLInputElement | null>;
  readonly text: string;
  readonly onText: (text: string) => void;
  /** Which match is active, from 1; 0 if none is. */
  readonly matchAt: number;
  readonly matchCount: number;
  readonly isSearching: boolean;
  /** Why attributes could not be searched. */
  readonly searchError: string | undefined;
  readonly onMatch: (by: 1 | -1) => void;
  /** Whether any span failed. */
  readonly hasErrors: boolean;
  readonly onError: () => void;
  readonly isCriticalShown: boolean;
  readonly onCritical: () => void;
  readonly onZoom: (factor: number | undefined) => void;
  readonly isZoomed: boolean;
  readonly isFollowing: boolean;
  /** `undefined` if nothing is open. */
  readonly onFollow: (() => void) | undefined;
}

export function Toolbar(props: ToolbarProps) {
  const isAsked = props.text.trim() !== "";
  return (
    <div className="wf-tools" role="toolbar" aria-label="Waterfall">
      <input
        ref={props.field}
        className="field"
        type="search"
        aria-label="Search names and attributes"
        aria-keyshortcuts="/"
        placeholder="Search names and attributes"
        value={props.text}
        maxLength={200}
        onChange={(event) => props.onText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter") props.onMatch(event.shiftKey ? -1 : 1);
          else if (event.key === "Escape" && isAsked) props.onText("");
          else return;
          event.preventDefault();
        }}
      />
      <span className="small m2 wf-found" aria-live="polite">
        {isAsked && (
          <>
            {props.matchAt > 0 ? <Count count={props.matchAt} /> : "–"} of <Count count={props.matchCount} />
            {props.isSearching && ", searching attributes"}
            {props.searchError !== undefined && `, attributes not searched: ${props.searchError}`}
          </>
        )}
      </span>
      <span className="wf-group">
        <IconButton icon="up" look="normal" label="Previous match (Shift N)" onClick={() => props.onMatch(-1)} />
        <IconButton icon="down" look="normal" label="Next match (N)" onClick={() => props.onMatch(1)} />
      </span>
      {props.hasErrors ? (
        <Button icon="failed" className="is-bad" hint="E" onClick={props.onError}>
          Next error
        </Button>
      ) : (
        <Button icon="ok" aria-disabled hint="E" onClick={props.onError}>
          No errors
        </Button>
      )}
      <Button aria-pressed={props.isCriticalShown} onClick={props.onCritical}>
        <i className="wf-sample" aria-hidden="true" /> Critical path
      </Button>
      <span className="wf-group">
        <IconButton icon="add" look="normal" label="Zoom in (+)" onClick={() => props.onZoom(2)} />
        <IconButton icon="minus" look="normal" label="Zoom out (−)" onClick={() => props.onZoom(0.5)} />
        <Button aria-disabled={!props.isZoomed} onClick={() => props.onZoom(undefined)}>
          All
        </Button>
      </span>
      {props.onFollow !== undefined && (
        <Button aria-pressed={props.isFollowing} hint="F" onClick={props.onFollow}>
          Follow now
        </Button>
      )}
    </div>
  );
}
