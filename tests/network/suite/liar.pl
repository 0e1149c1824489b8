# A name server at ADDRESS that answers questions by their first label, most of them with a lie before the truth. The truth is 198.51.100.7, a
# lie 203.0.113.66. Also over TCP, where it tells no lies.
use strict;
use Socket qw(:all);
use IO::Select;
$| = 1;
my ($address, $other) = @ARGV;
my $at = sub { pack_sockaddr_in($_[0], inet_aton($_[1])) };
my $open = sub {
    socket(my $socket, AF_INET, $_[0], 0) or die $!;
    setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1);
    bind($socket, $_[1]) or die $!;
    return $socket;
};
my $datagrams = $open->(SOCK_DGRAM, $at->(53, $address));
my @strangers = ($open->(SOCK_DGRAM, $at->(0, $address)), $open->(SOCK_DGRAM, $at->(53, $other)));
my $streams = $open->(SOCK_STREAM, $at->(53, $address));
listen($streams, 9) or die $!;
sub a { return "\xc0\x0c" . pack("nnNn", 1, 1, 60, 4) . inet_aton($_[0]) }
sub reply {
    my ($id, $question, @records) = @_;
    return pack("nnnnnn", $id, 0x8180, 1, scalar(@records), 0, 0) . $question . join("", @records);
}
my ($truth, $lie) = (a("198.51.100.7"), a("203.0.113.66"));
# A name that points to itself, and a chain of names of which the last one has the address.
my $loop = "\xc0\x2f" . pack("nnNn", 5, 1, 60, 2) . "\xc0\x2f";
my @chain = map { ($_ ? chr(length "c$_") . "c$_\0" : "\xc0\x0c") . pack("nnNn", 5, 1, 60, 2 + length("c" . ($_ + 1))) . chr(length("c" . ($_ + 1))) . "c" . ($_ + 1) . "\0" } 0 .. 8;
sub answers {
    my ($id, $question, $label) = @_;
    my $other = $question;
    $other =~ s/example/exampld/;
    return (reply($id ^ 1, $question, $lie), reply($id, $question, $truth)) if $label eq "number";
    return (reply($id, $other, $lie), reply($id, $question, $truth)) if $label eq "question";
    return (reply($id, "", $lie), substr(reply($id, $question, $lie), 0, 11), pack("n", $id), reply($id, $question, $truth)) if $label eq "short";
    return (pack("nnnnnn", $id, 0x0100, 1, 1, 0, 0) . $question . $lie, reply($id, $question, $truth)) if $label eq "echoed";
    return reply($id, $question, $loop) if $label eq "loop";
    return reply($id, $question, ($truth) x 300) if $label eq "large";
    return reply($id, $question, ($truth) x 60) if $label eq "middle";
    return reply($id, $question, @chain, $truth) if $label eq "chain";
    return pack("nnnnnn", $id, 0x8180, 1, 65535, 65535, 65535) . $question . $truth if $label eq "counts";
    return () if $label eq "silent";
    return reply($id, $question, $truth);
}
print "ready\n";
my $all = IO::Select->new($datagrams, $streams);
while (my @ready = $all->can_read) {
    for my $socket (@ready) {
        my ($guest, $bytes);
        if ($socket == $streams) {
            accept($guest, $streams) or next;
            sysread($guest, $bytes, 2) == 2 or next;
            sysread($guest, $bytes, unpack("n", $bytes)) or next;
        }
        my $from = $guest ? undef : recv($datagrams, $bytes, 4096, 0);
        my $id = unpack("n", $bytes);
        my ($labels) = substr($bytes, 12) =~ /^(.*?\0....)/s or next;
        my ($label) = unpack("C/a", $labels);
        my @said = answers($id, $labels, $label);
        print "$label ", $guest ? "stream" : "datagram", "\n";
        if ($guest) { syswrite($guest, pack("n/a*", $said[-1])) if @said; close($guest); next }
        if ($label eq "stranger") { send($_, reply($id, $labels, $lie), 0, $from) for @strangers }
        # Numbers are drawn, so that a flood of lies is one of all numbers at once, from somebody else.
        send($datagrams, $_, 0, $from) for @said;
    }
}
