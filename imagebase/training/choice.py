"""Which weights of a training are kept, and when waiting for better ones is over."""

from dataclasses import dataclass
from typing import Final

# Judgements without a rise, and the share of all steps that they have to cover.
PATIENCE: Final = 5
PATIENCE_SHARE: Final = 0.25


@dataclass(slots=True)
class Choice:
    """What was judged so far, as far as it decides.

    best_step: of the weights that are kept. waited: judgements since AP50 rose, which
    was at rose_at.
    """

    best_ap50: float | None = None
    best_step: int = 0
    rose_at: int = 0
    waited: int = 0

    def keeps(self, ap50: float | None, *, step: int, is_trusted: bool) -> bool:
        """Say whether the weights of this step are kept in place of those before.

        Args:
            ap50: on the held-out images; None where there are none.
            step: after which it was judged.
            is_trusted: whether so many images are held out that AP50 says something.
                Of fewer, it moves by chance, and the last weights are the better bet.
        """
        best = self.best_ap50
        # A best of 0 is a net that finds nothing yet: nobody waits for that one.
        has_risen = not is_trusted or ap50 is None or not best or ap50 > best
        if has_risen:
            self.waited, self.rose_at = 0, step
        else:
            self.waited += 1
        if not has_risen and ap50 != best:
            return False
        self.best_ap50, self.best_step = ap50, step
        return True

    def has_waited_enough(self, step: int, steps: int) -> bool:
        """Say whether AP50 has not risen for so long that it is not worth going on.

        Where judgements are frequent, five of them are short: they have to cover a
        quarter of all the steps too.
        """
        share = PATIENCE_SHARE * steps
        return self.waited >= PATIENCE and step - self.rose_at >= share
