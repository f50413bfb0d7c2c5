#!/usr/bin/perl
# Makes seeds for the fuzz targets from captures: seeds.pl CORPUS CAPTURE...
#
# message: one of each kind and form of message, at most 400 bytes, behind the byte that chooses
# dialect and place. order: each capture without what repeats, so that it stays within the 4 kB
# that are fuzzed. copy_frame: a few messages in an XLogData, a keepalive and a status.
use strict;
use warnings;

my ($corpus, @captures) = @ARGV;
mkdir "$corpus/$_" for '', qw(message order copy_frame);

sub save {
    my ($name, $bytes) = @_;
    open my $file, '>:raw', "$corpus/$name" or die "$corpus/$name: $!";
    print $file $bytes;
    close $file or die "$corpus/$name: $!";
}

my $header = pack('Q>Q>q>', 0x158EF78, 0x158EF78, 817_000_000_000_000);
save('copy_frame/keepalive', 'k' . pack('Q>q>C', 0x158EF78, 817_000_000_000_000, 1));
save('copy_frame/status', 'r' . pack('Q>3q>C', 3, 2, 1, 817_000_000_000_000, 0));

my %seen;
for my $path (@captures) {
    open my $file, '<:raw', $path or die "$path: $!";
    my $bytes = do { local $/; <$file> };
    my ($capture) = $path =~ m{([^/]+)\.bin$};
    my ($dialect, @messages) = unpack('C (N/a)*', $bytes);
    my ($session, $in_stream, $run, $last) = (chr $dialect, 0, 0, '');
    for my $message (@messages) {
        my $tag = substr $message, 0, 1;
        my $name = sprintf 'x%02x', ord $tag;
        # The form: null, unchanged, text and binary values, old tuples, with or without a prefix.
        my $form = join '', $in_stream, map { $message =~ /$_/ ? 1 : 0 } 'K\0', 'O\0', 'u', 'b\0\0';
        if (length $message <= 400 && !$seen{"$dialect $tag $form"}++) {
            my $choice = $dialect | ($in_stream ? 0x80 : 0);
            save("message/$capture-$name-$form", chr($choice) . $message);
            save("copy_frame/$capture-$name", "w$header$message") if $form =~ /0000$/;
        }
        $run = $tag eq $last ? $run + 1 : 0;
        $last = $tag;
        if ($run < 2 && length $message <= 400 && length $session < 3500) {
            $session .= pack('N/a', $message);
        }
        $in_stream = 1 if $tag eq 'S';
        $in_stream = 0 if $tag eq 'E';
    }
    save("order/$capture", $session);
}
