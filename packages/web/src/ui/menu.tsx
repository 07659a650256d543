/**
 * A menu at a button: actions, or choices of which any number holds. Only the button is there at first: what shows the menu is loaded when
 * the page has nothing else to do, or when somebody opens one.
 */
import {
  type KeyboardEvent,
  lazy,
  type MouseEvent,
  type ReactNode,
  type Ref,
  Suspense,
  useId,
  useRef,
  useState,
} from "react";

const parts = () => import("./menu-parts.tsx");

/** Loads what shows menus. */
export const loadMenus: () => Promise<unknown> = parts;

const MenuList = lazy(async () => ({ default: (await parts()).MenuList }));
export const MenuItem = lazy(async () => ({ default: (await parts()).MenuItem }));
/** A choice of which only one holds: it shows a check, and the menu closes. */
export const MenuChoice = lazy(async () => ({ default: (await parts()).MenuChoice }));
export const MenuLabel = lazy(async () => ({ default: (await parts()).MenuLabel }));
export const MenuLine = lazy(async () => ({ default: (await parts()).MenuLine }));

/** What the button of a menu takes over. */
export interface MenuTrigger {
  readonly ref: Ref<HTMLButtonElement>;
  readonly id: string;
  readonly "aria-haspopup": "menu";
  readonly "aria-expanded": boolean;
  readonly onClick: (event: MouseEvent) => void;
  readonly onKeyDown: (event: KeyboardEvent) => void;
}

interface MenuProps {
  /** Returns the button, which takes over what it is given. */
  readonly trigger: (own: MenuTrigger) => ReactNode;
  readonly children: ReactNode;
}

export function Menu({ trigger, children }: MenuProps) {
  const button = useRef<HTMLButtonElement>(null);
  const id = useId();
  const [opened, setOpened] = useState<"by-key" | "by-pointer">();
  const open = (by: "by-key" | "by-pointer") => {
    // Without a connection nothing opens, and the page says that it has none.
    void loadMenus().then(
      () => setOpened(by),
      () => {},
    );
  };
  return (
    <>
      {trigger({
        ref: button,
        id,
        "aria-haspopup": "menu",
        "aria-expanded": opened !== undefined,
        onClick: ({ detail }) =>
          opened === undefined ? open(detail === 0 ? "by-key" : "by-pointer") : setOpened(undefined),
        onKeyDown: (event) => {
          if (event.key !== "ArrowDown") return;
          event.preventDefault();
          open("by-key");
        },
      })}
      {opened !== undefined && (
        <Suspense fallback={null}>
          <MenuList button={button} labelledBy={id} isByKey={opened === "by-key"} onClose={() => setOpened(undefined)}>
            {children}
          </MenuList>
        </Suspense>
      )}
    </>
  );
}
