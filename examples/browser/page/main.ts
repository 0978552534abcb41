/** The page: what is shown is in `display.ts`, what can be done in `actions.ts`. */
import { Actions } from './actions.ts';
import { offerBench } from './bench/view.ts';
import { Display } from './display.ts';
import { byId } from './dom.ts';

function sayIsolation(): void {
  const badge = byId('isolation', HTMLElement);
  badge.dataset['isolated'] = String(crossOriginIsolated);
  badge.textContent = crossOriginIsolated
    ? 'shared memory: channels run in a thread of their own'
    : 'no shared memory, as this page is not cross-origin isolated: channels run inside the page';
}

sayIsolation();
document.body.dataset['memory'] = 'none';
const actions = new Actions(new Display());
offerBench();
await actions.offerSources();
