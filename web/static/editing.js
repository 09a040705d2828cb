// Whether the text is being written: the box is large then, and small while one looks at heads. It shrinks only once the button
// of the mouse is up: what moves under a click that has begun would take it away.

export function watchEditing(box) {
  let down = false;
  const settle = () => {
    if (!down && !box.contains(document.activeElement)) box.classList.remove('editing');
  };
  const released = () =>
    setTimeout(() => {
      down = false;
      settle();
    });
  addEventListener('pointerdown', () => (down = true), true);
  addEventListener('pointerup', released, true);
  addEventListener('pointercancel', released, true);
  box.addEventListener('focusin', () => box.classList.add('editing'));
  box.addEventListener('focusout', () => setTimeout(settle));
}
