// The page's entry.

import { render } from "preact";
import { App } from "./app.js";
import { keepLinkFresh, restoreFromAddress, startPage } from "./state/story.js";

render(<App />, document.getElementById("app") as HTMLElement);
keepLinkFresh();
addEventListener("hashchange", () => void restoreFromAddress());
void startPage();
