// Makes the page usable by keyboard and screen reader where Gradio's parts are not, and says when the server is gone.
(() => {
  const LOOK_EVERY_MS = 1000, ALIVE_EVERY_MS = 3000, STEP = 0.02, LARGE_STEP = 0.1;

  function label(selector, attributes) {
    for (const element of document.querySelectorAll(selector)) {
      for (const [name, value] of Object.entries(attributes)) {
        if (element.getAttribute(name) !== value) element.setAttribute(name, value);
      }
    }
  }

  // The handle of the comparison is moved by the mouse alone: arrows become a drag of it.
  function handleOf() { return document.querySelector('#compare [data-testid="slider"]'); }

  // Where the picture lies inside its element, which may leave space beside it.
  function pictureBox() {
    const picture = document.querySelector('#compare img');
    if (!picture || !picture.naturalHeight) return null;
    const box = picture.getBoundingClientRect();
    const width = Math.min(box.width, box.height * picture.naturalWidth / picture.naturalHeight);
    return {left: box.left + (box.width - width) / 2, width};
  }

  function positionOf(handle) {
    const box = pictureBox(), place = handle.getBoundingClientRect();
    return box && box.width ? (place.left + place.width / 2 - box.left) / box.width : 0.5;
  }

  function drag(handle, share) {
    const box = pictureBox(), place = handle.getBoundingClientRect();
    if (!box || !box.width) return;
    const y = place.top + place.height / 2;
    const at = (kind, x) => new MouseEvent(kind, {bubbles: true, cancelable: true, view: window, clientX: x, clientY: y});
    const x = box.left + Math.min(1, Math.max(0, share)) * box.width;
    handle.dispatchEvent(at('mousedown', place.left + place.width / 2));
    window.dispatchEvent(at('mousemove', x));
    window.dispatchEvent(at('mouseup', x));
  }

  function tell(handle) {
    const percent = String(Math.round(100 * Math.min(1, Math.max(0, positionOf(handle)))));
    if (handle.getAttribute('aria-valuenow') !== percent) {
      handle.setAttribute('aria-valuenow', percent);
      handle.setAttribute('aria-valuetext', `${percent} % of the picture before, the rest after`);
    }
  }

  function makeUsable(handle) {
    label('#compare [data-testid="slider"]', {role: 'slider', tabindex: '0', 'aria-valuemin': '0',
      'aria-valuemax': '100', 'aria-orientation': 'horizontal', 'aria-label': 'Line between before and after'});
    tell(handle);
    if (handle.dataset.keys) return;
    handle.dataset.keys = 'yes';
    handle.addEventListener('keydown', (event) => {
      const now = positionOf(handle);
      const goal = {ArrowLeft: now - STEP, ArrowDown: now - STEP, ArrowRight: now + STEP, ArrowUp: now + STEP,
        PageDown: now - LARGE_STEP, PageUp: now + LARGE_STEP, Home: 0, End: 1}[event.key];
      if (goal === undefined) return;
      event.preventDefault();
      drag(handle, goal);
      handle.focus();
      setTimeout(() => tell(handle), 50);
    });
  }

  function look() {
    // The place stays while what is in it changes: so a screen reader tells the change.
    label('#status, #view-note', {role: 'status', 'aria-live': 'polite', 'aria-atomic': 'true'});
    label('#pictures button.upload-container, #pictures button[data-testid="upload-button"]',
      {'aria-label': 'Pictures: drop them here, or press to choose files'});
    label('#pictures button[aria-label="common.upload"]', {'aria-label': 'Add pictures', title: 'Add pictures'});
    label('#pictures button[aria-label="Clear"]', {'aria-label': 'Remove all pictures', title: 'Remove all pictures'});
    label('#pictures input[type="file"]', {'aria-label': 'Pictures'});
    label('#compare button[aria-label="Undo"]', {'aria-label': 'Reset the zoom', title: 'Reset the zoom'});
    label('#compare', {role: 'group', 'aria-label': 'Before and after'});
    const pictures = document.querySelectorAll('#compare img');
    ['The picture before, enlarged by interpolation', 'The picture after'].forEach((text, number) => {
      if (pictures[number] && pictures[number].alt !== text) pictures[number].alt = text;
    });
    const handle = handleOf();
    if (handle) makeUsable(handle);
  }

  async function askWhetherAlive() {
    const place = document.getElementById('gone');
    let text = '';
    try {
      const answer = await fetch('/alive', {cache: 'no-store'});
      if (!answer.ok) text = 'The server of this page does not answer as it should. Load the page again.';
    } catch {
      text = 'The server of this page has ended. Start it again: srn-deploy web. Then load the page again.';
    }
    if (place && place.textContent !== text) place.textContent = text;
  }

  look();
  setInterval(look, LOOK_EVERY_MS);
  setInterval(askWhetherAlive, ALIVE_EVERY_MS);
})();
