//! `SO_RCVLOWAT`, which neither the standard library nor `socket2` offers.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod imp {
    use std::io;
    use std::mem::size_of;
    use std::os::fd::{AsRawFd, BorrowedFd};

    /// Sets the receive low-water mark in bytes.
    ///
    /// Linux signals what is waiting when the mark is lowered (`tcp_set_rcvlowat` ends with
    /// `tcp_data_ready`), so an edge-triggered poller sees it. Other systems don't say so.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    #[expect(unsafe_code, reason = "setsockopt has no safe wrapper for this option")]
    pub fn set(socket: BorrowedFd<'_>, bytes: u32) -> io::Result<()> {
        let value = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
        // SAFETY: the descriptor is open for the length of the borrow, and the pointer and the
        // length describe `value`, which outlives the call.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVLOWAT,
                (&raw const value).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod imp {
    use std::io;
    use std::os::fd::BorrowedFd;

    /// Does nothing: only Linux is known to signal what waits when the mark is lowered.
    ///
    /// # Errors
    ///
    /// Always [`io::ErrorKind::Unsupported`].
    pub fn set(_socket: BorrowedFd<'_>, _bytes: u32) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}

pub use imp::set;
