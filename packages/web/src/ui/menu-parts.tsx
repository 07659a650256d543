/** What shows a menu: see `menu.tsx`, which loads it. */
import { Menu as Radix } from "radix-ui/internal";
import { type ReactNode, type RefObject, useEffect, useRef } from "react";
import { Icon } from "./icons.tsx";

interface MenuListProps {
  readonly button: RefObject<HTMLButtonElement | null>;
  /** The id of the button. */
  readonly labelledBy: string;
  /** Whether a key opened it: then its first item has the focus. */
  readonly isByKey: boolean;
  readonly onClose: () => void;
  readonly children: ReactNode;
}

const FIRST_ITEM = '[role^="menuitem"]:not([data-disabled])';

export function MenuList({ button, labelledBy, isByKey, onClose, children }: MenuListProps) {
  const list = useRef<HTMLDivElement>(null);
  /** Whether somebody went on elsewhere: the focus stays there. */
  const isLeft = useRef(false);
  useEffect(() => {
    if (isByKey) list.current?.querySelector<HTMLElement>(FIRST_ITEM)?.focus();
  }, [isByKey]);
  const isOnButton = (target: EventTarget | null) =>
    target instanceof Node && button.current?.contains(target) === true;
  return (
    <Radix.Root open modal={false} onOpenChange={(isOpen) => !isOpen && onClose()}>
      <Radix.Anchor virtualRef={button as RefObject<HTMLButtonElement>} />
      <Radix.Portal>
        <Radix.Content
          ref={list}
          className="menu"
          aria-labelledby={labelledBy}
          align="start"
          sideOffset={4}
          collisionPadding={8}
          onInteractOutside={(event) => {
            // The button closes the menu itself.
            if (isOnButton(event.target)) event.preventDefault();
            else isLeft.current = true;
          }}
          onCloseAutoFocus={(event) => {
            event.preventDefault();
            if (!isLeft.current) button.current?.focus({ preventScroll: true });
          }}
        >
          {children}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}

export function MenuItem(props: {
  readonly onSelect: () => void;
  readonly isDanger?: boolean;
  readonly isDisabled?: boolean;
  readonly children: ReactNode;
}) {
  return (
    <Radix.Item
      className={`menu-item${props.isDanger === true ? " is-danger" : ""}`}
      disabled={props.isDisabled ?? false}
      onSelect={props.onSelect}
    >
      {props.children}
    </Radix.Item>
  );
}

export function MenuChoice(props: {
  readonly isChosen: boolean;
  readonly onSelect: () => void;
  readonly children: ReactNode;
}) {
  return (
    <Radix.CheckboxItem className="menu-item" checked={props.isChosen} onSelect={props.onSelect}>
      <span className="w-4">{props.isChosen && <Icon name="ok" />}</span>
      <span className="cut">{props.children}</span>
    </Radix.CheckboxItem>
  );
}

export function MenuLabel({ children }: { readonly children: ReactNode }) {
  return <Radix.Label className="menu-label">{children}</Radix.Label>;
}

export function MenuLine() {
  return <Radix.Separator className="menu-line" />;
}
