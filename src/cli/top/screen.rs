//! The terminal, taken and given back.

use std::io;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, enable_raw_mode};
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::{DefaultTerminal, Terminal};

/// Whether the terminal was given back. Once is enough: by the second time its cursor would jump back over what was
/// written since.
static GIVEN_BACK: AtomicBool = AtomicBool::new(true);

/// A terminal that is drawn on. Whoever drops it gives the terminal back as it was, and so does a panic of any thread.
pub struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// Where there is none that can be drawn on.
    pub fn open() -> io::Result<Screen> {
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            told(panic);
        }));
        GIVEN_BACK.store(false, Ordering::SeqCst);
        let taken = || {
            enable_raw_mode()?;
            execute!(io::stdout(), EnterAlternateScreen)?;
            Terminal::new(CrosstermBackend::new(io::stdout()))
        };
        let terminal = taken().inspect_err(|_| give_back())?;
        Ok(Screen { terminal })
    }

    /// Draws.
    ///
    /// # Errors
    /// Where the terminal is gone, or was given back.
    pub fn draw(&mut self, draw: impl FnOnce(Rect, &mut Buffer)) -> io::Result<()> {
        if GIVEN_BACK.load(Ordering::SeqCst) {
            return Err(io::Error::other("a part of the view has panicked"));
        }
        self.terminal.draw(|frame| draw(frame.area(), frame.buffer_mut()))?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    if !GIVEN_BACK.swap(true, Ordering::SeqCst) {
        // A terminal that is gone needs nothing.
        let _ = ratatui::try_restore();
    }
}
